"""A clone of one published repository, as `datalad clone` leaves it: settings, refs, git-annex, files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opendata_pkg.git.annexed import adopt_branch, init_annex
from opendata_pkg.git.beside import beside
from opendata_pkg.git.bring import Brought, Refs, bring, check_complete, is_url
from opendata_pkg.git.checkout import adjust, check_out
from opendata_pkg.git.person import NEUTRAL_EMAIL, NEUTRAL_NAME, person_environment
from opendata_pkg.git.repository import BrokenRepositoryError, GitError, Repository, call_git, git_environment
from opendata_pkg.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from opendata_pkg.git.bound_packs import BoundPacks
    from opendata_pkg.model import ObjectId
    from opendata_pkg.web.transport import Transport

MAIN = "main"
_REMOTE = "refs/remotes/origin/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be cloned: from where (an absolute path or URL), which commit, and the local git branch for it.

    `final` is where the clone will be in the end: it may be made elsewhere and moved. `packs` are what the release
    bound of the repository's packs.
    `is_kept`: the address becomes `origin`, with all that is published there; else nothing stays but the commit.
    """

    address: str
    commit: ObjectId
    branch: str
    final: Path
    packs: BoundPacks
    is_kept: bool = True


def clone_repository(
    wish: Wish,
    clone: Path,
    files: Collection[str] | None = None,
    *,
    transport: Transport,
    neutral: bool = False,
    reporter: Reporter = SILENT,
) -> None:
    """Make a clone in the empty folder `clone`, with the wished commit checked out, or only `files` of it.

    What does not depend on each other is done at a time: git-annex sets itself up while objects come, and while files
    are checked out, it is looked at whether objects are complete, and refs are set.

    `neutral`: write an identity into its settings, since git knows none.

    Raises:
        BrokenRepositoryError: the store lacks the commit, or objects of it.
        SourceError: git, git-annex, the server or the file system refused.
    """
    call_git("init", "--quiet", f"--initial-branch={MAIN}", cwd=clone)
    if neutral:
        call_git("config", "user.name", NEUTRAL_NAME, cwd=clone)
        call_git("config", "user.email", NEUTRAL_EMAIL, cwd=clone)
    with beside(lambda: _settle(clone, wish)) as settled:
        brought = bring(wish.address, clone / ".git", wish.packs, transport=transport, reporter=reporter)
        _fill(clone, wish, files, brought, settled)
    adjust(clone)


def _settle(clone: Path, wish: Wish) -> None:
    """All settings of the clone; one after the other, since git does not let two write them."""
    init_annex(clone, wish.final)
    if wish.is_kept:
        _add_origin(clone, wish.address)


def _add_origin(clone: Path, address: str) -> None:
    values = {
        "remote.origin.url": address,
        "remote.origin.fetch": f"+refs/heads/*:{_REMOTE}*",
        # A store holds no contents: git-annex need not look there, nor make an annex of it.
        "remote.origin.annex-ignore": "true",
        f"branch.{MAIN}.remote": "origin",
        f"branch.{MAIN}.merge": f"refs/heads/{MAIN}",
    }
    for name, value in values.items():
        call_git("config", name, value, cwd=clone)


def _tracking(ref: str) -> str:
    return ref if ref.startswith("refs/tags/") else _REMOTE + ref.removeprefix("refs/heads/")


def _fill(
    clone: Path, wish: Wish, files: Collection[str] | None, brought: Brought, settled: Callable[[], None]
) -> None:
    """Check out what is wished and set refs, if all that they need is there; else git fetches what is missing."""

    def check() -> None:
        if not brought.is_whole:
            check_complete(clone, [wish.commit, *brought.refs.values()], deep=is_url(wish.address))
        settled()
        _set_refs(clone, wish, brought.refs)

    try:
        with beside(check) as checked:
            check_out(clone, wish.commit, files, ready=settled)
    except GitError:
        settled()
        # Nobody else may be at the refs from here on.
        with suppress(GitError):
            checked()
        if not wish.is_kept:
            raise
    else:
        return
    # What is there by neither of the ways that we know, such as objects borrowed from another repository.
    environment = person_environment() if is_url(wish.address) else git_environment()
    try:
        call_git("fetch", "--quiet", "--tags", "origin", cwd=clone, environment=environment)
        check_complete(clone, [wish.commit], deep=True)
    except GitError as error:
        raise BrokenRepositoryError(
            f"{wish.address} lacks objects that its release needs: ask its steward to restore it from a copy ({error})"
        ) from error
    check_out(clone, wish.commit, files)
    _set_refs(clone, wish, {_published(name): value for name, value in Repository(clone).refs().items()})


def _set_refs(clone: Path, wish: Wish, refs: Refs) -> None:
    """What is published, as that of a remote that is kept; the wish's git branch, with HEAD; and git-annex's own."""
    if "refs/heads/git-annex" not in refs:
        raise BrokenRepositoryError(f"{wish.address} has no git-annex branch: ask the store's steward to restore it")
    changes = {_tracking(name): value for name, value in refs.items()} if wish.is_kept else {}
    Repository(clone).update_refs(changes | {f"refs/heads/{wish.branch}": wish.commit})
    if wish.is_kept and f"refs/heads/{MAIN}" in refs:
        call_git("symbolic-ref", f"{_REMOTE}HEAD", f"{_REMOTE}{MAIN}", cwd=clone)
    call_git("symbolic-ref", "HEAD", f"refs/heads/{wish.branch}", cwd=clone)
    adopt_branch(clone, refs["refs/heads/git-annex"])


def _published(ref: str) -> str:
    return f"refs/heads/{ref.removeprefix(_REMOTE)}" if ref.startswith(_REMOTE) else ref
