"""Versioned, citable, partially clonable datasets of a public S3 bucket.

The verbs of the command line, for Python: `open_dataset`, `find`, `fetch`, `pooch`, `pin`, `unpin`, `sync`, `verify`,
`cite`, `diff`, `clone`, `get`; and `Lock`, whose files are local paths (docs/reference/python.md).

A `word` is what commands call DATASET: `[BRANCH][@VERSION][:PATH]` of a store, `s3://bucket/prefix`, or a snapshot's
`.parquet` file. `include` and `exclude` are gitignore-style globs (one, or several) on paths relative to the branch,
`larger` and `smaller` bytes, or texts such as `"1.5MB"`. `store` (path or URL), `catalogue` (a file) and `offline` are
by default what `OPENDATA_STORE`, `OPENDATA_CATALOGUE` and `OPENDATA_OFFLINE` say; `endpoint_url` is an S3 server other
than Amazon's, `jobs` how many transfers run at a time. In paths, `~/` is the home folder. In a notebook, whatever takes
long draws a bar; results show themselves as tables.

What goes wrong is an `OpenDataError`, whose text is a sentence that says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opendata_pkg.api.bringing import fetch, pin, pooch, sync, unpin, verify
    from opendata_pkg.api.cloning import clone, get
    from opendata_pkg.api.looking import cite, diff, find, open_dataset
    from opendata_pkg.lock.lock import Lock
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
    "Lock": "lock.lock",
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
