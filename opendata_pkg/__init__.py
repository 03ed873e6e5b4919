"""Versioned, citable, partially clonable datasets of a public S3 bucket."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opendata_pkg.fetching import fetch, pooch

__version__ = "0.1.0"
__all__ = ["__version__", "fetch", "pooch"]

# Where each verb is. They are imported when they are used: `import opendata_pkg` and `opendata --help` are quick.
_VERBS = {"fetch": "fetching", "pooch": "fetching"}


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_VERBS[name]}"), name)
