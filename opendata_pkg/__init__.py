"""Versioned, citable, partially clonable datasets of a public S3 bucket.

The verbs of the command line, for Python: `open_dataset`, `find`, `fetch`, `pooch`, `pin`, `unpin`, `sync`, `verify`,
`cite`, `diff`, `clone`, `get`; and `Lock`, whose files are local paths (docs/reference/python.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opendata_pkg.api.bringing import fetch, pin, pooch, sync, unpin, verify
    from opendata_pkg.api.cloning import clone, get
    from opendata_pkg.api.looking import cite, diff, find, open_dataset
    from opendata_pkg.lock import Lock
    from opendata_pkg.model import OpenDataError

__all__ = [
    "Lock",
    "OpenDataError",
    "cite",
    "clone",
    "diff",
    "fetch",
    "find",
    "get",
    "open_dataset",
    "pin",
    "pooch",
    "sync",
    "unpin",
    "verify",
]
__version__ = "0.1.0"

# Found when they are first asked for: whoever wants a lock's paths need not wait for Arrow and all the rest.
_HOMES = {
    "Lock": "lock",
    "OpenDataError": "model",
    **dict.fromkeys(("cite", "diff", "find", "open_dataset"), "api.looking"),
    **dict.fromkeys(("fetch", "pin", "pooch", "sync", "unpin", "verify"), "api.bringing"),
    **dict.fromkeys(("clone", "get"), "api.cloning"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - `import opendata_pkg` itself does nothing

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
