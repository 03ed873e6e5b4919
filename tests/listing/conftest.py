"""Servers for tests of listings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.listing.scripted import Answer, Request, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def scripted() -> Iterator[Callable[[Callable[[Request], Answer]], ScriptedServer]]:
    """Start servers that answer as a function says."""
    servers = []

    def start(answer: Callable[[Request], Answer]) -> ScriptedServer:
        servers.append(ScriptedServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
