"""Whether anybody else has written to a repository of the store: what they did is said, and left as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opendata_pkg.git.repository import no_repository
from opendata_pkg.model import InputError, ObjectId

if TYPE_CHECKING:
    from opendata_pkg.git.repository import Repository


class ForeignCommitError(InputError):
    """A published branch was moved, or a tag set, by somebody else."""


Heads = tuple[ObjectId | None, ObjectId | None]
"""Where `main` and `git-annex` of a repository are; None: nowhere yet."""


def check_heads(repository: Repository, released: Heads, *also: Heads) -> None:
    """Check that the published branches stand where the last release left them, or at one of the other places.

    Raises:
        BrokenRepositoryError: there is no repository.
        ForeignCommitError: somebody else has moved them.
    """
    if not repository.exists():
        raise no_repository(repository.path)
    heads = repository.head("refs/heads/main"), repository.head("refs/heads/git-annex")
    if heads == released or heads in also:
        return
    for name, expected, found in zip(("main", "git-annex"), released, heads, strict=True):
        if found != expected:
            raise ForeignCommitError(
                f"expected refs/heads/{name} of {repository.path} at {expected or 'no commit'}, as last released, got "
                f"{found or 'none'}: somebody has written to the store; "
                "move their work to another repository and set the ref back"
            )


def check_tag(repository: Repository, version: str, tag: ObjectId) -> None:
    """Check that a tag that is to be set is not there yet, or is the one that it is to be.

    Raises:
        ForeignCommitError: somebody else has set it.
    """
    if (found := repository.head(f"refs/tags/{version}")) not in {None, tag}:
        raise ForeignCommitError(
            f"expected no tag {version} in {repository.path} yet, got {found}: somebody has written to the store; "
            "give their tag another name, or release another version"
        )
