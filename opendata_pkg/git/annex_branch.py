"""The git-annex branch of a clone: some of its files read and changed at once, however many others it has.

By their names, git would read the top tree again for each file. Here each tree on the way is read and written once.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opendata_pkg.git.annexed import ANNEX
from opendata_pkg.git.deflate import deflate
from opendata_pkg.git.objects import FILE
from opendata_pkg.git.repository import Repository, call_git
from opendata_pkg.git.trees import Edit, edit_trees, folders_of, read_files, read_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from opendata_pkg.git.objects import ObjectWriter
    from opendata_pkg.git.trees import Tree
    from opendata_pkg.model import ObjectId

# Of so few files the objects are files of their own, as git itself has it: a pack for each file that somebody gets
# would make git slow.
_FEW_FILES = 8
# As `git update-ref` says it: "the ref does not exist".
_NOTHING = "0" * 40


class AnnexBranch:
    """The branch in the repository at `folder` (`.git`). What was read is kept, as long as the branch stays there."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._folder, self._repository = folder, Repository(folder)
        self._commit: ObjectId | None = None
        self._folders: set[bytes] = set()
        self._trees: dict[bytes, Tree] = {}

    def read(self, paths: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of the files that are there: path → content.

        Raises:
            BrokenRepositoryError: an object is not there, or damaged.
        """
        wanted = list(paths)
        commit = self._repository.head(ANNEX)
        if commit is None:
            return {}
        folders = folders_of(wanted)
        with self._repository.reader() as reader:
            if commit != self._commit or not folders <= self._folders:
                self._trees = read_trees(reader.read, reader.tree_of(commit), folders)
                self._commit, self._folders = commit, folders
            return read_files(reader.read, self._trees, wanted)

    def commit(self, files: Mapping[bytes, bytes], person: bytes) -> None:
        """Set files of which `read` was asked, in one commit by `person` (as `git var` says it).

        Raises:
            GitError: somebody else has written to the branch meanwhile; nothing is changed.
        """
        before, trees = self._commit, self._trees
        # They are changed below.
        self._commit, self._trees = None, {}
        with self._writer(len(files)) as writer:
            blobs = writer.add_all(b"blob", files.values())
            edits = [Edit(path, FILE, raw_id) for path, raw_id in zip(files, blobs, strict=True)]
            tree = edit_trees(trees, writer, edits)
            parent = b"" if before is None else b"parent %s\n" % before.encode()
            head = b"tree %s\n%sauthor %s\ncommitter %s\n" % (tree.hex().encode(), parent, person, person)
            new = writer.add(b"commit", head + b"\nupdate").hex()
        # Only if it is where it was.
        call_git("update-ref", ANNEX, new, before or _NOTHING, cwd=self._folder)

    @contextmanager
    def _writer(self, files: int) -> Iterator[ObjectWriter]:
        if files <= _FEW_FILES:
            yield _Loose(self._repository)
            return
        with self._repository.writer() as writer:
            yield writer


class _Loose:
    """Writes objects, each as a file of its own."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def add(self, kind: bytes, body: bytes) -> bytes:
        """Write one."""
        return bytes.fromhex(self._repository.write_loose(kind, body))

    def add_all(
        self,
        kind: bytes,
        bodies: Iterable[bytes],
        pack: Callable[[bytes], bytes] = deflate,  # noqa: ARG002 - of packs; such a file is one stream with its head
    ) -> Iterator[bytes]:
        """Write several as they are asked for."""
        return (self.add(kind, body) for body in bodies)
