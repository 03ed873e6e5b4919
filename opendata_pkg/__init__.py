"""Versioned, citable, partially clonable datasets of a public S3 bucket."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opendata_pkg.fetching import fetch, pooch
    from opendata_pkg.lock import Lock
    from opendata_pkg.pinning import pin, unpin
    from opendata_pkg.syncing import sync

__version__ = "0.1.0"
__all__ = ["Lock", "__version__", "fetch", "pin", "pooch", "sync", "unpin"]

# Where each verb is. They are imported when they are used: `import opendata_pkg` and `opendata --help` are quick.
_VERBS = {
    "Lock": "lock",
    "fetch": "fetching",
    "pin": "pinning",
    "pooch": "fetching",
    "sync": "syncing",
    "unpin": "pinning",
}


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_VERBS[name]}"), name)
