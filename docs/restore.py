"""Bring the files of an opendata.lock with nothing but Python: python3 restore.py [LOCK [FOLDER]].

Short, so that it can be read and kept beside the lock, which then outlives opendata. Run again, it goes on.
"""

import hashlib
import http.client
import json
import sys
import urllib.request
from pathlib import Path


def has_digest(path: Path, algorithm: str, wanted: str) -> bool:
    """Whether a file is there with that digest."""
    digest = hashlib.new(algorithm)
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == wanted


given = [*sys.argv[1:], *["opendata.lock", "data"][len(sys.argv) - 1 :]]
lock, top, missing = json.loads(Path(given[0]).read_text(encoding="utf-8-sig")), Path(given[1]).resolve(), []
for file in lock["files"]:
    target = top / lock["selections"][file["selection"]].get("folder", "") / file["path"]
    if top not in target.parent.resolve().joinpath("x").parents or ".." in target.parts:
        sys.exit(f"{file['path']} would lead out of {top}")
    algorithm = "sha256" if "sha256" in file else "md5"
    part = target.with_name(".restore.part")
    urls = [url for url in file["urls"] if url.startswith(("https://", "http://"))]
    while urls and not has_digest(target, algorithm, file[algorithm]):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        try:
            with urllib.request.urlopen(urls.pop(0), timeout=60) as answer, part.open("xb") as stream:  # noqa: S310 - just looked at
                while block := answer.read(1 << 20):
                    stream.write(block)
            if has_digest(part, algorithm, file[algorithm]):
                part.replace(target)
        except (OSError, http.client.HTTPException) as error:
            print(f"{file['path']}: {error}", file=sys.stderr)
    part.unlink(missing_ok=True)
    if not has_digest(target, algorithm, file[algorithm]):
        missing.append(file["path"])
print(f"{len(lock['files']) - len(missing)} of {len(lock['files'])} files are in {top}; not there:", missing or "none")
sys.exit(bool(missing))
