"""Locks to test with: rows whose contents are their own paths, selections of any name, and the lock of both."""

from __future__ import annotations

import hashlib

from opendata_pkg.lock.format import LockContent, LockedFile, LockSelection
from opendata_pkg.model import Grade, Md5, Sha256
from opendata_pkg.urls import object_url

BASE = "http://127.0.0.1:9/bucket/"
"""Where nothing listens."""


def content_of(path):
    """What the tests put into a file of that path."""
    return f"content of {path}\n".encode()


def locked(path, *, selection="cells", content=None, known="sha256", base=BASE, **values):
    """A row of a lock; `known` is its digest: sha256, md5 or both."""
    data = content_of(path) if content is None else content
    fields = {
        "selection": selection,
        "path": path,
        "size_bytes": len(data),
        "sha256": Sha256(hashlib.sha256(data).hexdigest()) if known in {"sha256", "both"} else None,
        "md5": Md5(hashlib.md5(data, usedforsecurity=False).hexdigest()) if known in {"md5", "both"} else None,
        "urls": (object_url(base, path, None),),
        "version_id": None,
        "grade": Grade.VERIFIABLE,
    }
    return LockedFile(**fields | values)


def selected(name="cells", **values):
    """A selection of a lock, as it is when pinned straight from a bucket."""
    fields = {
        "name": name,
        "branch": ".",
        "version": None,
        "rules": {},
        "source": "s3://bucket",
        "snapshot": "1" * 64,
        "commit": None,
        "digest": f"sha256:{'2' * 64}",
        "licenses": ("CC-BY-4.0",),
        "citation": "Someone (2024): Something.",
    }
    return LockSelection(**fields | values)


def lock_of(*files, selections=None):
    """What a lock of these rows says; their selections are made up unless given."""
    names = {file.selection for file in files} | {"cells"}
    known = {name: selected(name) for name in names} if selections is None else {s.name: s for s in selections}
    return LockContent(selections=known, files=files)
