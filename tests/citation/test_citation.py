"""Citations: what is said, in each format; and that no name or title can break out of any."""

# ruff: noqa: RUF001 - Greek letters and dashes are what is tested

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from opendata_pkg.catalogue.branch import License
from opendata_pkg.citation import (
    ANONYMOUS,
    Agent,
    Citation,
    Covers,
    Fixity,
    Format,
    Over,
    UndatedError,
    citation_text,
    of_selection,
    of_tree,
    reference_of,
    render,
    to_biblatex,
    to_bibtex,
    to_cff,
    to_csl,
    to_datacite,
    to_text,
)
from opendata_pkg.citation.cff import collection_to_cff
from opendata_pkg.citation.latex import escape, transliterate
from opendata_pkg.citation.model import doi_of, fields_of_reference, one_line, public_url
from opendata_pkg.plan.selection import FILES, Origin, Rules, Selection
from opendata_pkg.written import ContentDigest
from tests.core_support import catalogue_of

DIGEST = ContentDigest(sha256="a" * 64, incomplete=1)
CREATED = """\
licenses: [{name: CC-BY-4.0, title: "CC BY 4.0", path: "https://creativecommons.org/licenses/by/4.0/"}]
contributors:
  - {title: "Blue: Brain", roles: [creator, rightsHolder]}
  - {title: Ada Lovelace, givenName: Ada, familyName: Lovelace, roles: [creator], email: ada@example.org}
  - {title: A Host, roles: [hosting]}
related: [{relationType: IsIdenticalTo, id: "https://doi.org/10.1234/whole"}]
store: https://store.example.org/reef/
branches:
  Rat:
    title: Rats
    branches:
      Cortex: {title: Rat cortex, licenses: [{name: ODbL-1.0}], contributors: [{title: Others}]}
  Mouse:
    title: Mice
    related: [{relationType: IsIdenticalTo, id: "http://dx.doi.org/10.1234/mice_1"}, {relationType: Cites, id: "https://x.org"}]
"""
BUCKET = "https://bucket.s3.us-east-1.amazonaws.com/"
FULL = Citation(
    name="rat.cortex",
    covers=Covers.DATASET,
    title='α_β "Rat" 100% & {é}',
    authors=(Agent(name="Blue Brain, EPFL"), Agent(name="Ada Lövelace", family="Lövelace", given="Ada")),
    licenses=(
        License(name="CC-BY-4.0", path="https://creativecommons.org/licenses/by/4.0/"),
        License(path="https://t.org/"),
    ),
    fixities=(
        Fixity(digest=f"sha256:{'a' * 64}", over=Over.OWN_FILES),
        Fixity(digest=f"sha256:{'b' * 64}", over=Over.SUBTREE, incomplete=2),
    ),
    dataset_id="12345678-1234-5678-9234-567812345678",
    publisher="EPFL & Co.",
    version="2026.1.0",
    date="2024-03-01",
    url="https://store.example.org/a%20b_c~d/",
    doi="10.1234/ab_c",
    commit="c" * 40,
    files=3,
    size_bytes=12345,
    description="First line.\nSecond line.",
    keywords=("rat", "cortex"),
    formats=("application/swc",),
    related=(("IsDocumentedBy", "https://doi.org/10.1093/cercor/bhy339"), ("Cites", "https://x.org/p")),
)
PART = replace(
    FULL,
    covers=Covers.SELECTION,
    fixities=(Fixity(digest=f"sha256:{'d' * 64}", over=Over.SELECTION),),
    query="include *.swc",
    doi=None,
)


def selection(*places, source="s3://bucket/Rat", version=None, rules=None, catalogue=CREATED, digest=True, base=BUCKET):
    """A selection of files, each in a branch; of the root's release if there is a `version`."""
    rows = [
        {
            "path": f"{branch}/{number}.swc".lstrip("/"),
            "branch": branch,
            "key": str(number),
            "size": 10,
            "sha256": "e" * 64 if digest else None,
            "last_modified": datetime(2023, 5, 6, 23, 59, 59, 999_999, tzinfo=UTC).replace(year=2020 + number),
            "base_url": base,
        }
        for number, branch in enumerate(places)
    ]
    released = {"version": version, "commit": "c" * 40, "date": "2026-01-02"}
    origin = {"version": None, "commit": None, "date": None} if version is None else released
    return Selection(
        origin=Origin(source=source, branch=".", snapshot="1" * 64, **origin),
        rules=Rules(**rules or {}),
        table=pa.Table.from_pylist(rows, FILES),
        catalogue=None if catalogue is None else catalogue_of(catalogue),
    )


def check_cff(path, text):
    """Fail the test unless a CITATION.cff follows the official schema."""
    path.write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# What is said.


def test_text_is_one_line_with_all_that_is_known():
    """Who, when, what, version, publisher, DOI, commit, digest with its gaps, licences."""
    assert to_text(FULL) == (
        'Blue Brain, EPFL; Lövelace, Ada (2024). α_β "Rat" 100% & {é} (version 2026.1.0) [Data set]. EPFL & Co. '
        f"https://doi.org/10.1234/ab_c. Dataset commit swh:1:rev:{'c' * 40}; content digest sha256:{'b' * 64} "
        "(2 of the files without a digest). Licences: CC-BY-4.0, https://t.org/."
    )


def test_text_of_a_selection_names_its_rules_and_digest():
    """How many files, by which rules, from which commit: and no SWHID, which would name more than is cited."""
    text = to_text(PART)
    assert "(version 2026.1.0; 3 files, 12.3 kB)" in text
    assert f"Selected by include *.swc from dataset commit {'c' * 40}; selection digest sha256:{'d' * 64}." in text
    assert "swh:" not in text


def test_what_is_not_known_is_not_said():
    """A folder's files without a date, publisher or licence: no year is invented, and that there is no licence is said."""
    text = citation_text(
        replace_table(selection("", catalogue=None, source="/home/me/x.parquet", base=None), "last_modified")
    )
    assert text.startswith("Anonymous (n.d.). Files of a folder (1 file, 10 B) [Data set]. Selection digest sha256:")
    assert text.endswith(". No licence is stated.")


def replace_table(chosen, column):
    """The selection with an empty column."""
    table = chosen.table
    empty = pa.nulls(table.num_rows, table.schema.field(column).type)
    return replace(
        chosen, table=table.set_column(table.schema.get_field_index(column), table.schema.field(column), empty)
    )


def test_a_bucket_is_dated_by_its_newest_file():
    """No clock: the same files are cited alike on every day. What holds them all gives the title."""
    cited = of_selection(selection("Rat", "Rat/Cortex"))
    assert (cited.date, cited.title, cited.version, cited.covers) == ("2021-05-06", "Rats", None, Covers.SELECTION)
    assert (cited.url, cited.source) == (BUCKET, "s3://bucket/Rat")
    assert "(2 files, 20 B; as of 2021-05-06)" in to_text(cited)


def test_a_bucket_that_no_catalogue_describes():
    """It is called by its address, published by its host, and made by nobody we know."""
    cited = of_selection(selection("", catalogue=None))
    assert (cited.title, cited.publisher) == ("Files of s3://bucket/Rat", "bucket.s3.us-east-1.amazonaws.com")
    assert (cited.authors, cited.licenses, cited.name) == ((ANONYMOUS,), (), "bucket.rat")


def test_every_branch_that_files_are_of_has_its_authors_and_licences_named():
    """A selection across branches names all of them, each once; one within a branch only what holds there."""
    both = of_selection(selection("Mouse", "Rat", "Rat/Cortex", version="1.0.0"))
    assert both.license_names == ("CC-BY-4.0", "ODbL-1.0")
    assert [agent.name for agent in both.authors] == ["Blue: Brain", "Ada Lovelace", "Others"]
    assert of_selection(selection("Mouse")).license_names == ("CC-BY-4.0",)
    # The root is cited, so those who made it are named; its own licence is not that of these files.
    deep = of_selection(selection("Rat/Cortex", version="1.0.0"))
    assert deep.license_names == ("ODbL-1.0",)


def test_authors_are_creators_else_all_else_anonymous():
    """As CITATION.cff has it in every dataset."""
    assert [x.name for x in of_selection(selection("Rat/Cortex")).authors] == ["Others"]
    assert of_selection(selection("Rat", catalogue="branches: {Rat: {title: R}}")).authors == (ANONYMOUS,)


def test_publisher_is_the_rights_holder_else_the_host():
    """Somebody who holds the rights comes first; a bucket's server is the least that is known."""
    assert of_selection(selection("Rat")).publisher == "Blue: Brain"
    assert of_selection(selection("Rat/Cortex")).publisher == "bucket.s3.us-east-1.amazonaws.com"


def test_a_doi_is_of_exactly_what_is_cited():
    """Only of a whole branch at a version, only by IsIdenticalTo, and not inherited from a branch above."""
    catalogue = catalogue_of(CREATED)
    whole = of_selection(selection("Mouse", version="1.0.0"))
    assert (whole.doi, whole.related) == ("10.1234/whole", ())
    mice = replace(selection("Mouse", version="1.0.0"), catalogue=catalogue)
    mice = of_selection(replace(mice, origin=replace(mice.origin, branch="Mouse")))
    assert (mice.doi, mice.related) == ("10.1234/mice_1", (("Cites", "https://x.org"),))
    rats = selection("Rat", version="1.0.0")
    rats = of_selection(replace(rats, origin=replace(rats.origin, branch="Rat")))
    assert (rats.doi, rats.related) == (None, (("IsPartOf", "https://doi.org/10.1234/whole"),))
    part = of_selection(selection("Mouse", version="1.0.0", rules={"include": ("*.swc",)}))
    assert (part.doi, part.related) == (None, (("IsPartOf", "https://doi.org/10.1234/whole"),))
    now = of_selection(selection("Mouse"))
    assert (now.doi, now.related[0]) == (None, ("IsPartOf", "http://dx.doi.org/10.1234/mice_1"))


@pytest.mark.parametrize(
    ("source", "url", "address"),
    [
        ("/home/me/secret/store", "https://store.example.org/reef/", None),
        ("file:///home/me/secret/store", "https://store.example.org/reef/", None),
        ("https://me:secret@host.org:8080/a b/?token=secret#secret", "https://host.org:8080/a%20b/", None),
        ("s3://stores/reef", "https://store.example.org/reef/", "s3://stores/reef"),
    ],
)
def test_nothing_of_this_machine_is_cited(source, url, address):
    """A store is cited by its public address: never by a local path, a password or a token, in any format."""
    chosen = selection("Rat", source=source, version="1.0.0")
    cited = of_selection(chosen)
    assert (cited.url, cited.source) == (url, address)
    assert all("secret" not in render([cited], form) for form in Format)
    assert "secret" not in json.dumps(reference_of(chosen))


def test_a_local_store_without_a_public_address_is_cited_by_the_bucket():
    """The bucket is where the bytes are."""
    plain = CREATED.replace("store: https://store.example.org/reef/\n", "")
    assert of_selection(selection("Rat", source="store", version="1.0.0", catalogue=plain)).url == BUCKET


def test_files_without_digest_are_counted():
    """A citation whose digest cannot vouch for every file says so."""
    assert "(2 of the files without a digest)" in citation_text(selection("Rat", "Mouse", digest=False))


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("https://doi.org/10.1234/ab_c", "10.1234/ab_c"),
        ("http://dx.doi.org/10.1234.5/a%3Cb%3E", "10.1234.5/a<b>"),
        ("doi:10.1234/x", "10.1234/x"),
        ("https://doi.org/", None),
        ("https://example.org/10.1234/x", None),
        ("10.1234/x", None),
        ("https://doi.org/10.1234/a b", None),
    ],
)
def test_dois(text, doi):
    """A DOI is taken from its URL or URI, decoded; nothing else is one."""
    assert doi_of(text) == doi


@pytest.mark.parametrize(
    "text", ["/a", "a/b", "s3://b/p", "file:///a", "http:///a", "ftp://h/a", "http://[::1/", "", None]
)
def test_what_is_no_public_url(text):
    """Paths, other schemes and broken URLs are none."""
    assert public_url(text) is None


def test_what_a_lock_keeps_gives_the_citation_back():
    """The reference is JSON, and holds all of a citation that the lock does not say elsewhere."""
    chosen = selection("Rat", "Rat/Cortex", version="1.0.0", rules={"include": ("*.swc",)})
    reference = json.loads(json.dumps(reference_of(chosen)))
    cited = of_selection(chosen)
    kept = ("name", "title", "authors", "licenses", "publisher", "date", "url", "doi", "source")
    assert Citation(covers=cited.covers, **fields_of_reference(reference)) == Citation(
        covers=cited.covers, **{name: getattr(cited, name) for name in kept}
    )


# In each format.


def test_cff_of_a_tree_is_pinned(tmp_path):
    """These bytes are part of every dataset's commit: they may not change, or commit ids would."""
    text = to_cff(of_tree(catalogue_of(CREATED).root, digest=DIGEST))
    assert text == (
        "cff-version: 1.2.0\n"
        "type: dataset\n"
        "message: If you use these data, please cite them as below.\n"
        'title: "An example"\n'
        "authors:\n"
        '  - name: "Blue: Brain"\n'
        '  - family-names: "Lovelace"\n'
        '    given-names: "Ada"\n'
        "identifiers:\n"
        "  - type: other\n"
        '    value: "urn:uuid:f9026eaa-8ba9-580c-af20-6172025c9990"\n'
        "    description: The dataset, in all its versions\n"
        "  - type: other\n"
        f'    value: "sha256:{"a" * 64}"\n'
        '    description: "Content digest of the files of this version; 1 files have no digest"\n'
        "license:\n"
        '  - "CC-BY-4.0"\n'
    )
    check_cff(tmp_path / "CITATION.cff", text)


def test_cff_of_a_version(tmp_path):
    """The official schema takes it; commit, SWHID, DOI and both digests are in it."""
    text = to_cff(FULL)
    check_cff(tmp_path / "CITATION.cff", text)
    value = yaml.safe_load(text)
    assert (value["doi"], value["commit"], value["url"]) == (FULL.doi, FULL.commit, FULL.url)
    assert (value["version"], value["date-released"]) == ("2026.1.0", "2024-03-01")
    assert [x["type"] for x in value["identifiers"]] == ["other", "other", "other", "swh"]
    assert value["abstract"] == "First line. Second line."


def test_cff_of_several(tmp_path):
    """The format has one work at its top: the others are references, of type `data` there."""
    text = collection_to_cff([FULL, PART], title="The data of opendata.lock")
    check_cff(tmp_path / "CITATION.cff", text)
    value = yaml.safe_load(text)
    assert [x["type"] for x in value["references"]] == ["data", "data"]
    assert value["references"][0]["publisher"] == {"name": "EPFL & Co."}


def test_cff_takes_only_some_dois(tmp_path):
    """A DOI that the format's schema refuses stands there as a URL."""
    text = to_cff(replace(FULL, doi="10.1002/(SICI)1<5::AID>3.0.CO;2-E", licenses=(License(path="https://t.org/"),)))
    check_cff(tmp_path / "CITATION.cff", text)
    value = yaml.safe_load(text)
    assert value["identifiers"][-1]["value"] == "https://doi.org/10.1002/(SICI)1%3C5::AID%3E3.0.CO;2-E"
    assert value["license-url"] == "https://t.org/"


def test_bibtex():
    """An `@misc` whose key is the same every time, in ASCII, with the address as it is."""
    text = to_bibtex(FULL)
    assert text.startswith("@misc{opendata-rat.cortex-2026.1.0,\n")
    assert r"author = {{Blue Brain, EPFL} and L{\"{o}}velace, Ada}" in text
    assert (
        r"{{{\ensuremath{\alpha}}\_{\ensuremath{\beta}} ``Rat'' 100\% \& \textbraceleft{}{\'{e}}\textbraceright{}}}"
        in text
    )
    assert r"howpublished = {EPFL \& Co., \url{https://doi.org/10.1234/ab_c}}" in text
    assert "doi = {10.1234/ab_c}" in text
    assert r"\url{https://store.example.org/a%20b_c~d/}" in to_bibtex(replace(FULL, doi=None))
    assert text.isascii()


def test_biblatex():
    """A `@dataset` in Unicode, with fields for version, publisher and date."""
    text = to_biblatex(FULL)
    assert text.startswith("@dataset{opendata-rat.cortex-2026.1.0,\n")
    for line in (
        "author = {{Blue Brain, EPFL} and Lövelace, Ada},",
        r"title = {{α\_β ``Rat'' 100\% \& \textbraceleft{}é\textbraceright{}}},",
        "date = {2024-03-01},",
        "version = {2026.1.0},",
        r"publisher = {{EPFL \& Co.}},",
        "url = {https://store.example.org/a%20b_c~d/},",
    ):
        assert f"  {line}\n" in text


def test_keys_tell_citations_apart():
    """Versions differ by version, selections by digest; a name of a person or a title is in no key."""
    other = replace(PART, fixities=(Fixity(digest=f"sha256:{'f' * 64}", over=Over.SELECTION),))
    assert [x.key for x in (FULL, PART, other)] == [
        "opendata-rat.cortex-2026.1.0",
        "opendata-rat.cortex-2026.1.0-dddddddd",
        "opendata-rat.cortex-2026.1.0-ffffffff",
    ]
    assert re.fullmatch(r"opendata-bucket\.rat-[0-9a-f]{8}", of_selection(selection("", catalogue=None)).key)


# schemas/input/csl-data.json of citation-style-language/schema, version 1.0.2: of its many variables, those used here.
CSL_STRINGS = {"id", "type", "title", "version", "publisher", "DOI", "URL", "dimensions", "keyword", "abstract", "note"}


@pytest.mark.parametrize("cited", [FULL, PART, replace(PART, date=None, version=None, publisher=None)])
def test_csl(cited):
    """An item has only variables that CSL-JSON knows, of the types that it wants; the rest is in `custom`."""
    item = to_csl(cited)
    assert item.keys() <= CSL_STRINGS | {"author", "issued", "custom"}
    assert all(isinstance(item[name], str) for name in CSL_STRINGS & item.keys())
    assert item["author"] == [{"literal": "Blue Brain, EPFL"}, {"family": "Lövelace", "given": "Ada"}]
    assert item.get("issued") == (None if cited.date is None else {"date-parts": [[2024, 3, 1]]})
    assert (item["custom"]["commit"], item["custom"].get("swhid")) == (cited.commit, cited.swhid)
    assert item["custom"]["digest"] == cited.fixity.digest


def test_datacite():
    """What the DataCite schema requires is there, licences with their addresses, the SWHID as another identifier."""
    record = to_datacite(FULL)
    assert {"creators", "titles", "publisher", "publicationYear", "types", "schemaVersion"} <= record.keys()
    assert record["creators"][1] == {
        "name": "Lövelace, Ada",
        "nameType": "Personal",
        "givenName": "Ada",
        "familyName": "Lövelace",
    }
    assert record["rightsList"] == [
        {
            "rights": "CC-BY-4.0",
            "rightsUri": "https://creativecommons.org/licenses/by/4.0/",
            "rightsIdentifier": "CC-BY-4.0",
        },
        {"rightsUri": "https://t.org/"},
    ]
    assert record["alternateIdentifiers"][0]["alternateIdentifier"] == f"swh:1:rev:{'c' * 40}"
    assert record["relatedIdentifiers"][0] == {
        "relatedIdentifier": "10.1093/cercor/bhy339",
        "relatedIdentifierType": "DOI",
        "relationType": "IsDocumentedBy",
    }
    assert to_datacite(replace(FULL, publisher=None))["publisher"] == {"name": ":unav"}
    assert not any(x["alternateIdentifierType"] == "SWHID" for x in to_datacite(PART)["alternateIdentifiers"])


def test_datacite_wants_a_year():
    """Without one nothing is made up: the sentence says what to do instead."""
    with pytest.raises(UndatedError, match=r"must have a publication year, but no file of .* choose another --format"):
        to_datacite(replace(FULL, date=None))


def test_availability_of_a_lock():
    """A paragraph that names amount, version, commit, digest, licences and how to get the files again; references below."""
    paragraph, empty, *references = render([FULL, PART], Format.TEXT, lock="opendata.lock").splitlines()
    assert paragraph.startswith("This work uses 3 files, 12.3 kB of α_β")
    for words in (
        "version 2026.1.0",
        f"selection digest sha256:{'d' * 64}",
        "Licences: CC-BY-4.0, https://t.org/.",
        "`opendata sync --lock opendata.lock` brings exactly these files again",
        "Of 2 of them no digest is known",
    ):
        assert words in paragraph
    assert empty == ""
    assert references == [f"[1] {to_text(FULL)}", f"[2] {to_text(PART)}"]


@pytest.mark.parametrize("form", list(Format))
def test_every_format_of_a_lock_has_every_selection(form):
    """One entry each, in a file that its readers take as one."""
    text = render([FULL, PART], form, lock="opendata.lock")
    assert text.endswith("\n")
    if form in {Format.CSL, Format.DATACITE}:
        assert len(json.loads(text)) == 2
    elif form is Format.CFF:
        assert len(yaml.safe_load(text)["references"]) == 2
    else:
        assert text.count("\n@misc{") + text.count("\n@dataset{") + text.startswith("@") in {0, 2}


# Whatever a title or a name is.

HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.text(
    st.sampled_from("\\{}%#$&_^~\"'`-<>|@,;= \n\r\tand"), min_size=1, max_size=20
)


def hostile(title, name, family):
    """A citation with these texts in every place that takes one."""
    return replace(
        PART,
        title=title,
        authors=(Agent(name=name), Agent(name=name, family=family, given=name)),
        publisher=name,
        description=title,
        keywords=(name,),
        query=title,
        licenses=(License(title=title),),
    )


ENTRY = re.compile(r"@(?:misc|dataset)\{opendata-[a-z0-9.-]+,\n((?:  [a-z]+ = \{.*\},\n)+)\}\n")
COMMAND = re.compile(r"\\(?:[a-zA-Z]+|[^a-zA-Z])")


@given(HOSTILE, HOSTILE, HOSTILE)
@example("}, x = {", "and", "others")
@example("\\", "a and b", "a, b")
@example("\x00\x01\x02", "\u2028", "\x85")
@pytest.mark.parametrize("write", [to_bibtex, to_biblatex])
def test_no_text_breaks_out_of_bibtex(write, title, name, family):
    """Each field is one line whose braces close at its end; nothing special to TeX stands bare in it."""
    text = write(hostile(title, name, family))
    (fields,) = ENTRY.fullmatch(text).groups()
    for line in fields.splitlines():
        value = line.partition(" = ")[2]
        depths = [0]
        for sign in value.removesuffix(","):
            depths.append(depths[-1] + {"{": 1, "}": -1}.get(sign, 0))
        assert depths[-1] == 0
        assert min(depths[1:-1]) > 0
        bare = COMMAND.sub("", re.sub(r"\\url\{[^}]*\}|^\{https.*|\\ensuremath\{\^", "", value))
        assert not set(bare) & set("%#$&_~^"), value


@given(HOSTILE, HOSTILE)
def test_names_stay_apart(name, family):
    """However many authors there are, BibTeX counts as many: `and`, commas and braces of a name split nothing."""
    value = re.search(r"  author = \{(.*)\},\n", to_bibtex(hostile("t", name, family)))[1]
    outside, depth = [], 0
    for sign in value:
        depth -= sign == "}"
        if depth == 0:
            outside.append(sign)
        depth += sign == "{"
    assert len(re.findall(r"(?i)\band\b", "".join(outside))) == 1


@given(HOSTILE, HOSTILE, HOSTILE)
@example("\x7f\x85\u2028\ufeff\ufffe", "yes", "1.0")
def test_no_text_breaks_out_of_cff(title, name, family):
    """YAML gives back what was put in, also in a collection."""
    cited = hostile(title, name, family)
    value = yaml.safe_load(to_cff(cited))
    assert (value["title"], value["authors"][0]) == (title, {"name": name})
    assert value["authors"][1] == {"family-names": family, "given-names": name}
    (reference, _) = yaml.safe_load(collection_to_cff([cited, FULL], title="t"))["references"]
    assert (reference["title"], reference["publisher"]["name"]) == (title, name)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_breaks_the_line(title, name, family):
    """A citation as text is one printable line; the paragraph of a lock too."""
    cited = hostile(title, name, family)
    assert to_text(cited).isprintable()
    assert [line.isprintable() for line in render([cited], Format.TEXT, lock="x").splitlines()] == [True] * 3


@given(HOSTILE)
def test_json_formats_hold_any_text(title):
    """CSL-JSON and DataCite give it back."""
    cited = hostile(title, "n", "f")
    assert json.loads(render([cited], Format.CSL))[0]["title"] == title
    assert json.loads(render([cited], Format.DATACITE))["titles"] == [{"title": title}]


@given(HOSTILE)
def test_escaping_loses_nothing(text):
    """Every visible sign is still there after escaping, in order; straight quotes become typographic ones."""
    marks = {
        r"\textbackslash{}": "\\", r"\textbraceleft{}": "{", r"\textbraceright{}": "}", r"\textasciitilde{}": "~",
        r"\textasciicircum{}": "^", r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"\`{}": "`",
        r"\_": "_", r"\%": "%", r"\&": "&", r"\#": "#", r"\$": "$", "-{}": "-", "``": '"', "''": '"',
    }  # fmt: skip
    pattern = re.compile("|".join(map(re.escape, marks)))
    said = pattern.sub(lambda match: marks[match[0]], escape(text))
    assert said.replace('"', "''") == one_line(text).replace('"', "''").replace("''", "''")


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("Éric Żółw", r"{\'{E}}ric {\.{Z}}{\'{o}}{\l}w"),
        ("Çağ ï", r"{\c{C}}a{\u{g}} {\"{\i}}"),
        ("α-Synuclein Δ", r"{\ensuremath{\alpha}}-Synuclein {\ensuremath{\Delta}}"),
        ("e\u0301", r"{\'{e}}"),
        ("ąđþ", "{a}{d}{th}"),
        ("日本", "日本"),
        ("10 µm – 5 °C", r"10 {\ensuremath{\mu}}m -- 5 {\ensuremath{^\circ}}C"),
    ],
)
def test_transliteration(text, tex):
    """Latin letters with marks, Greek and common signs are commands that every LaTeX has; other scripts stay."""
    assert transliterate(text) == tex
