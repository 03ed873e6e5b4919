"""What is to be said in a citation, from the catalogue and from what is cited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opendata_pkg.catalogue.branch import ROOT, default_name
from opendata_pkg.citation.model import ANONYMOUS, Agent, Citation, Covers, Fixity, Over, doi_of, one_line, public_url
from opendata_pkg.citation.text import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from opendata_pkg.catalogue.branch import Branch, License
    from opendata_pkg.catalogue.catalogue import Catalogue
    from opendata_pkg.plan.selection import Rules, Selection
    from opendata_pkg.written import ContentDigest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of_tree(branch: Branch, *, digest: ContentDigest, version: str | None = None, date: str | None = None) -> Citation:
    """What a dataset's CITATION.cff says of its own files; in its tree without version and date.

    No release alone may change what is in a tree.
    """
    return Citation(
        name=branch.name,
        covers=Covers.DATASET,
        title=branch.title,
        authors=tuple(_makers(branch)),
        licenses=tuple(terms for terms in branch.licenses if terms.name),
        dataset_id=branch.dataset_id,
        fixities=(Fixity(digest=f"sha256:{digest.sha256}", over=Over.OWN_FILES, incomplete=digest.incomplete),),
        version=version,
        date=date,
    )


def of_dataset(
    catalogue: Catalogue,
    branch: Branch,
    *,
    holders: Iterable[Branch],
    version: str,
    date: str,
    commit: str,
    digests: Sequence[Fixity],
    files: int,
    size_bytes: int,
    store: str | None,
    base_url: str | None,
) -> Citation:
    """A dataset in a release, with all below it: its commit pins them too. The root's is the release.

    `holders` are the branches at or below it that have files; `base_url` is where the bucket's objects are.
    """
    named = [branch, *(other for other in holders if other is not branch)]
    return Citation(
        name=branch.name,
        covers=Covers.DATASET if branch.path else Covers.RELEASE,
        title=one_line(branch.title),
        authors=_authors(named),
        licenses=_once(terms for each in named for terms in each.licenses),
        fixities=tuple(digests),
        dataset_id=branch.dataset_id,
        publisher=_publisher(branch, base_url),
        version=version,
        date=date,
        url=public_url(store) or public_url(catalogue.store) or public_url(base_url),
        doi=_own_doi(catalogue, branch),
        source=_bucket_address(store),
        commit=commit,
        files=files,
        size_bytes=size_bytes,
        description=branch.description,
        keywords=tuple(branch.keywords),
        formats=tuple(each.media_type for each in branch.formats),
        related=_related(catalogue, branch),
    )


def of_selection(selection: Selection) -> Citation:
    """Some files of a branch in a release, of a bucket or of a snapshot; without rules, the whole branch.

    Authors and licences are those of the branch, and of each branch below it that a selected file belongs to.
    """
    origin, catalogue, table = selection.origin, selection.catalogue, selection.table
    base_url = next(filter(None, table["base_url"].unique().to_pylist()), None)
    covers = _covers(selection)
    common: dict[str, Any] = {
        "covers": covers,
        "fixities": (Fixity(digest=selection.digest, over=Over.SELECTION, incomplete=_undigested(table)),),
        "version": origin.version,
        "date": origin.date if origin.version is not None else _newest_day(table) or origin.date,
        "source": _bucket_address(origin.source),
        "query": query_words(selection.rules),
        "commit": origin.commit,
        "files": table.num_rows,
        "size_bytes": selection.size_bytes,
        "licenses": _once(selection.licenses()),
    }
    if catalogue is None:
        where = common["source"] or public_url(base_url)
        return Citation(
            name=default_name((where or "files").partition("://")[2] or "files"),
            title=f"Files of {where}" if where else "Files of a folder",
            publisher=_host(base_url),
            url=public_url(base_url),
            **common,
        )
    # What is cited of a bucket has no commit, so it can be called by what it is: the branch that holds all of it.
    asked = catalogue.resolve(origin.branch)
    branch = asked if origin.version is not None else _common(catalogue, selection.branches)
    holders = [catalogue.branches[path] for path in selection.branches if path != branch.path]
    # A store says where it is read from, unless that is a folder of this machine; a bucket is its own address.
    stores = (origin.source, catalogue.store) if origin.version is not None else ()
    whole = covers is not Covers.SELECTION and origin.version is not None
    return Citation(
        name=branch.name,
        title=one_line(branch.title),
        authors=_authors([branch, *holders]),
        dataset_id=branch.dataset_id,
        publisher=_publisher(branch, base_url),
        url=next(filter(None, map(public_url, (*stores, base_url))), None),
        doi=_own_doi(catalogue, branch) if whole else None,
        description=branch.description,
        keywords=tuple(branch.keywords),
        formats=tuple(each.media_type for each in branch.formats),
        related=_related(catalogue, branch, part=not whole),
        **common,
    )


def query_words(rules: Rules) -> str | None:
    """The rules in words, such as `include *.swc *.asc, smaller 1000`; None if there are none."""
    given = rules.to_dict().items()
    words = (f"{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in given)
    return ", ".join(words) or None


def citation_text(selection: Selection) -> str:
    """How to cite a selection, as one line of text; kept in locks."""
    return to_text(of_selection(selection))


def reference_of(selection: Selection) -> dict[str, Any]:
    """What a lock keeps so that a citation can be written in any format without store or catalogue."""
    return of_selection(selection).reference()


def _common(catalogue: Catalogue, paths: Sequence[str]) -> Branch:
    """The deepest branch at or above all of these."""
    branch = catalogue.branches[paths[0]]
    while branch.parent is not None and not all(f"{path}/".startswith(branch.prefix) for path in paths):
        branch = catalogue.branches[branch.parent]
    return branch


def _covers(selection: Selection) -> Covers:
    if query_words(selection.rules) is not None or selection.origin.version is None:
        return Covers.SELECTION
    return Covers.RELEASE if selection.origin.branch == ROOT else Covers.DATASET


def _makers(branch: Branch) -> Iterator[Agent]:
    """The creators of a branch; all its contributors, if none is called creator; if nobody is named, that."""
    creators = [x for x in branch.contributors if "creator" in x.roles] or branch.contributors
    if not creators:
        yield ANONYMOUS
    for maker in creators:
        yield Agent(name=maker.title, family=maker.family_name, given=maker.given_name)


def _authors(branches: Iterable[Branch]) -> tuple[Agent, ...]:
    """Who made these branches, each name once."""
    found = dict.fromkeys(agent for branch in branches for agent in _makers(branch))
    return tuple(agent for agent in found if agent != ANONYMOUS) or (ANONYMOUS,)


def _once(licenses: Iterable[License]) -> tuple[License, ...]:
    """Each licence once, known by its id, else by its address."""
    found: dict[str | None, License] = {}
    for terms in licenses:
        found.setdefault(terms.name or terms.path, terms)
    return tuple(found.values())


def _publisher(branch: Branch, base_url: str | None) -> str | None:
    holder = next((x.title for x in branch.contributors if "rightsHolder" in x.roles), None)
    return one_line(holder) if holder else _host(base_url)


def _host(base_url: str | None) -> str | None:
    url = public_url(base_url)
    return urlsplit(url).hostname if url else None


def _bucket_address(source: str | None) -> str | None:
    """An `s3://` address, which is public; a path of this machine is nobody else's business."""
    return source if source is not None and source.startswith("s3://") else None


def _own_doi(catalogue: Catalogue, branch: Branch) -> str | None:
    """The DOI of a work that the catalogue says the branch is identical to.

    `related` is inherited, and a part is not identical to what the whole is identical to: what the parent has too is
    the parent's.
    """
    inherited = _inherited(catalogue, branch)
    works = (x for x in branch.related if x.relation_type == "IsIdenticalTo" and x.id not in inherited)
    return next(filter(None, (doi_of(work.id) for work in works)), None)


def _related(catalogue: Catalogue, branch: Branch, *, part: bool = False) -> tuple[tuple[str, str], ...]:
    """Works that are related to what is cited, which may be a `part` of the branch only.

    A part is no more than a part of what the whole is identical to. The DOI that is the citation's own is left out.
    """
    own, inherited = _own_doi(catalogue, branch), _inherited(catalogue, branch)
    found = []
    for work in branch.related:
        relation = work.relation_type
        if relation == "IsIdenticalTo" and (part or work.id in inherited):
            relation = "IsPartOf"
        elif relation == "IsIdenticalTo" and own is not None and doi_of(work.id) == own:
            continue
        found.append((relation, work.id))
    return tuple(found)


def _inherited(catalogue: Catalogue, branch: Branch) -> set[str]:
    """The works that the branch's parent is related to."""
    return set() if branch.parent is None else {work.id for work in catalogue.branches[branch.parent].related}


def _undigested(table: pa.Table) -> int:
    """How many files have no digest or no size: what a content digest writes `-` for."""
    # A release cites its datasets, and need not wait for Arrow.
    import pyarrow.compute as pc  # noqa: PLC0415

    no_digest = pc.and_(pc.is_null(table["sha256"]), pc.is_null(table["md5"]))
    return int(pc.sum(pc.or_(no_digest, pc.is_null(table["size"]))).as_py() or 0)


def _newest_day(table: pa.Table) -> str | None:
    """The ISO day (UTC) on which the newest file was last modified."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415

    # As a number: Arrow would look `UTC` up in a time zone database, which small systems do not have.
    newest = pc.max(table["last_modified"].cast(pa.int64())).as_py()
    return None if newest is None else (_EPOCH + timedelta(microseconds=newest)).date().isoformat()
