"""Locks: read and written exactly, quickly, and with every fault of a hand's edit named by file and line."""

from __future__ import annotations

import codecs
import json
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opendata_pkg.cache.synced import BrokenRecordError, Known, Record, read_record, write_record
from opendata_pkg.documents import NewerFormatError, internal_validator
from opendata_pkg.lock.check import is_lock
from opendata_pkg.lock.format import LockContent, parse_lock
from opendata_pkg.lock.lock import (
    AmbiguousPathError,
    BrokenLockError,
    ChangedLockError,
    Lock,
    NoLockError,
    NotLockedError,
)
from opendata_pkg.model import Grade
from opendata_pkg.plan.selection import Rules, selection_digest
from opendata_pkg.validation.validate import validate
from tests.lock_support import content_of, lock_of, locked, selected

REFERENCE = {
    "name": "example",
    "title": "An example",
    "authors": [{"name": "Jane Roe", "family": "Roe", "given": "Jane"}],
    "licenses": [{"name": "CC-BY-4.0", "path": "https://a.example/by"}],
    "date": "2026-01-02",
    "url": "https://a.example/",
    "doi": "10.1/x",
}
EXAMPLE = lock_of(
    locked("Rat/a.swc", known="both", version_id="v1", grade=Grade.FIXED),
    locked("Rat/b c/d#e.swc", known="md5"),
    locked(
        "Rat/é.swc", selection="more", size_bytes=None, urls=("https://a.example/é", "http://b.example/?versionId=1")
    ),
    selections=(
        selected(
            "cells", branch="Rat", version="2026.1.0", commit="c" * 40, rules={"include": ["*.swc"], "smaller": 9}
        ),
        selected("more", folder="more", licenses=(), reference=REFERENCE),
    ),
)


def write(folder, text):
    """A lock of that text."""
    path = folder / "opendata.lock"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def edited(old, new):
    """The example's text with one edit of a hand."""
    text = EXAMPLE.dump()
    assert old in text
    return text.replace(old, new, 1)


def test_written_and_read(tmp_path):
    """A lock reads back as it was, and writes itself again byte for byte."""
    lock = Lock(write(tmp_path, EXAMPLE.dump()))
    assert lock.content == EXAMPLE
    assert lock.dump() == EXAMPLE.dump()
    assert [file.path for file in lock.files] == ["Rat/a.swc", "Rat/b c/d#e.swc", "Rat/é.swc"]


def test_one_file_a_line():
    """Each file stands on a line of its own, sorted by selection and path, whatever order they came in."""
    files = tuple(locked(path, selection=name) for name in ("b", "a") for path in ("z", "B", "é", "a"))
    lines = lock_of(*files).dump().splitlines()
    rows = [json.loads(line.strip().rstrip(",")) for line in lines if line.startswith('    {"selection"')]
    assert [(row["selection"], row["path"]) for row in rows] == [(n, p) for n in "ab" for p in ("B", "a", "z", "é")]
    assert lock_of(*reversed(files)).dump().splitlines() == lines


def test_empty_lock():
    """A lock whose last selection was unpinned is a lock."""
    empty = LockContent(selections={}, files=())
    assert parse_lock(empty.dump().encode(), "opendata.lock") == empty


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(
        [1.0, 3.0, 0.5, -0.0, 1e300, 2**70, "", "\n", "a", "a\n", "/", "..", "a/../b", "a//b", "a/", "a\\b"]
    )
    | st.sampled_from(["\ud800", "0" * 64, "0" * 64 + "\n", "0" * 32, "A" * 64, "1.2.3", "1.2.3\n", "01.2.3", "a@b"])
    | st.sampled_from(
        ["https://", "https:///a", "http://a b", "http://é/", "ftp://a", "http://a\n", "fixed", "mutable"]
    )
    | st.sampled_from([f"sha256:{'0' * 64}", f"sha256:{'0' * 64}\n", "x" * 101, "...", ".a", "a..b/c", "a/..\n", "a:b"])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["path", "larger", "x"]), inner),
    max_leaves=3,
)


@st.composite
def _edits(draw):
    """The example after a few edits: values replaced, fields taken out, fields put in."""
    document = json.loads(EXAMPLE.dump())
    for _ in range(draw(st.integers(1, 2))):
        target = draw(
            st.sampled_from(
                [
                    document,
                    document.get("selections"),
                    *(document["selections"].values() if isinstance(document.get("selections"), dict) else ()),
                    *(document["files"] if isinstance(document.get("files"), list) else ()),
                ]
            )
        )
        if not isinstance(target, dict) or not target:
            continue
        names = [*target, "sha256", "md5", "version_id", "folder", "commit", "reference", "other", "a b", "a\n"]
        name = draw(st.sampled_from(names))
        if draw(st.booleans()) and name in target:
            del target[name]
        elif name == "reference" and isinstance(inner := target.get(name), dict):
            part = draw(st.sampled_from([inner, *inner.get("authors", ()), *inner.get("licenses", ())]))
            part[draw(st.sampled_from([*REFERENCE, *part, "family", "title"]))] = draw(_JSON | st.just([]))
            return document
        elif isinstance(inner := target.get(name), dict) and name == "rules":
            inner[draw(st.sampled_from(["path", "include", "exclude", "larger", "smaller", "more"]))] = draw(_JSON)
        else:
            target[name] = draw(st.lists(_JSON, max_size=2) if name in {"urls", "licenses"} else _JSON)
    return document


@settings(max_examples=400)
@given(_edits())
@example({"format": True, "selections": {}, "files": []})
@example({"format": 1.0, "selections": {}, "files": []})
@example([])
@example(None)
def test_the_quick_check_is_the_schema(document):
    """The check that is quick takes exactly what the schema takes."""
    assert is_lock(document) == internal_validator("lock").is_valid(document)


@settings(max_examples=200)
@given(_edits())
def test_any_edit_is_a_sentence_or_a_lock(document):
    """Whatever a hand does to a lock, it is read or refused with a line; it never ends in a traceback."""
    try:
        content = parse_lock(json.dumps(document).encode(), "opendata.lock")
    except (BrokenLockError, NewerFormatError) as error:
        assert str(error).startswith("opendata.lock")  # noqa: PT017 - which of the two happens is not promised
    else:
        assert parse_lock(content.dump().encode(), "again") == content


_SHA = EXAMPLE.files[0].sha256


@pytest.mark.parametrize(
    ("old", "new", "offset", "fault"),
    [
        (
            f'"sha256": "{_SHA}"',
            '"sha256": "abc"',
            0,
            "at $.files[0].sha256: expected a text of the form ^[0-9a-f]{64}$",
        ),
        ('"path": "Rat/a.swc"', '"path": "../a.swc"', 0, "at $.files[0].path: expected a text of the form"),
        ('"path": "Rat/a.swc"', '"path": "/etc/passwd"', 0, 'got "/etc/passwd"'),
        ('"path": "Rat/a.swc"', '"path": "Rat//a.swc"', 0, 'got "Rat//a.swc"'),
        ('"path": "Rat/a.swc"', '"path": "Rat/./a.swc"', 0, 'got "Rat/./a.swc"'),
        ('"path": "Rat/a.swc"', '"path": "Rat\\\\a.swc"', 0, 'got "Rat\\\\a.swc"'),
        ('"path": "Rat/a.swc"', '"path": "Rat/a.swc", "path": "b"', 0, 'the field "path" stands twice'),
        ('"path": "Rat/a.swc"', '"path": "Rat/b c/d#e.swc"', 1, "'Rat/b c/d#e.swc' stands twice in selection cells"),
        ('"path": "Rat/a.swc"', '"path": "Rat/b c"', 1, "'Rat/b c/d#e.swc' is in 'Rat/b c', which is a file"),
        ('"path": "Rat/a.swc"', '"path": ".opendata.json"', 0, "begins with .opendata., as only opendata's own"),
        ('"path": "Rat/é.swc"', '"path": "\\ud800"', 0, "at $.files[2].path"),
        (
            '"selection": "more"',
            '"selection": "most"',
            0,
            "expected the name of a selection (cells, more), got 'most'",
        ),
        ('"bytes": null', '"bytes": -1', 0, "at $.files[2].bytes: expected at least 0, got -1"),
        ('"grade": "fixed"', '"grade": "mutable"', 0, "expected one of fixed, verifiable"),
        ('"folder": "more",', '"folder": "..",', 0, "at $.selections.more.folder"),
        ('"snapshot": "1', '"snapshot": "x', 0, "at $.selections.cells.snapshot"),
        ('"citation": "Someone', '"citation": "\\udc00', -16, "half a character"),
        ('  "files": [', '<<<<<<< HEAD\n  "files": [', 0, "expected JSON"),
        ('"format": 1,', '"format": NaN,', None, "NaN is no JSON"),
        ('"format": 1,', '"format": 0,', 0, "at $.format: expected 1, got 0"),
    ],
)
def test_edits_that_are_refused(tmp_path, old, new, offset, fault):
    """A lock edited by hand is refused, with the file, the line, what is wrong and what to do."""
    path = write(tmp_path, edited(old, new))
    with pytest.raises(BrokenLockError) as caught:
        Lock(path)
    line = EXAMPLE.dump().partition(old)[0].count("\n") + 1
    place = f"{path}: " if offset is None else f"{path}, line {line + offset}: "
    assert str(caught.value).startswith(place), str(caught.value)
    assert fault in str(caught.value) or fault.replace('"', "'") in str(caught.value)
    assert "pin again" in str(caught.value) or offset is None


def test_other_content_at_one_place(tmp_path):
    """Two selections may share a path only with one content, or in folders of their own."""
    same = lock_of(locked("a"), locked("a", selection="new"))
    assert len(Lock(write(tmp_path, same.dump()))) == 2
    files = (locked("a"), locked("a", selection="new", content=b"other"))
    with pytest.raises(BrokenLockError, match=r"line 31: 'a' is of selection cells with other content too"):
        Lock(write(tmp_path, lock_of(*files).dump()))
    apart = lock_of(*files, selections=(selected("cells"), selected("new", folder="new")))
    assert Lock(write(tmp_path, apart.dump())).content.places == ("a", "new/a")


def test_newer_format(tmp_path):
    """A lock of a newer format is refused with what to do, not with a fault of its schema."""
    with pytest.raises(NewerFormatError, match="format version 2, but this opendata reads up to 1"):
        Lock(write(tmp_path, edited('"format": 1', '"format": 2')))


def test_a_byte_order_mark_is_ignored(tmp_path):
    """Windows editors write one; RFC 8259, section 8.1, lets readers ignore it. Lines are counted as without."""
    assert list(Lock(write(tmp_path, codecs.BOM_UTF8 + EXAMPLE.dump().encode()))) == list(
        Lock(write(tmp_path, EXAMPLE.dump()))
    )
    with pytest.raises(BrokenLockError, match="line 2"):
        Lock(write(tmp_path, codecs.BOM_UTF8 + EXAMPLE.dump().replace('"format": 1', '"format": "1"').encode()))


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"null", b"[]", b"1" * 5000])
def test_files_that_are_no_locks(tmp_path, data):
    """Anything else than a lock is refused with a sentence."""
    with pytest.raises(BrokenLockError, match=r"opendata\.lock"):
        Lock(write(tmp_path, data))


def test_no_lock(tmp_path):
    """Where there is no lock, the sentence says how to make one."""
    with pytest.raises(NoLockError, match="make one with: opendata pin DATASET"):
        Lock(tmp_path / "opendata.lock")


def test_as_a_mapping(tmp_path):
    """A lock is iterated, measured and asked by paths."""
    lock = Lock(write(tmp_path, EXAMPLE.dump()))
    assert len(lock) == 3
    assert list(lock) == ["Rat/a.swc", "Rat/b c/d#e.swc", "Rat/é.swc"]
    assert "Rat/a.swc" in lock
    assert "cells:Rat/a.swc" in lock
    assert "more:Rat/a.swc" not in lock
    assert 7 not in lock
    assert repr(lock).endswith("3 files in 2 selections>")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("a.swc", "did you mean 'Rat/a.swc'"),
        ("Rat/a.swk", "did you mean 'Rat/a.swc'"),
        ("nothing like it", r"`list\(lock\)` has all paths"),
    ],
)
def test_paths_that_are_not_in_it(tmp_path, path, hint):
    """A path that is not locked is a KeyError that names what is near."""
    lock = Lock(write(tmp_path, EXAMPLE.dump()))
    with pytest.raises(NotLockedError, match=hint) as caught:
        lock[path]
    assert isinstance(caught.value, KeyError)
    assert caught.value.exit_status == 4


def test_one_path_of_two_contents(tmp_path):
    """A path of two contents must be asked for with the name of its selection."""
    files = (locked("a"), locked("a", selection="new", content=b"other"))
    lock = Lock(write(tmp_path, lock_of(*files, selections=(selected(), selected("new", folder="new"))).dump()))
    with pytest.raises(AmbiguousPathError, match="ask for cells:a or new:a"):
        lock["a"]
    for place, content in (("a", content_of("a")), ("new/a", b"other")):
        (tmp_path / "data" / place).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "data" / place).write_bytes(content)
    assert lock["cells:a"].read_bytes() == content_of("a")
    assert lock["new:a"].read_bytes() == b"other"


def test_synced_file_by_its_bytes(tmp_path):
    """A file beside the lock is taken if its bytes are the locked ones, stamped or not."""
    lock = Lock(write(tmp_path, lock_of(locked("a/b")).dump()))
    place = tmp_path / "data" / "a" / "b"
    place.parent.mkdir(parents=True)
    place.write_bytes(content_of("a/b"))
    assert lock["a/b"] == place


def test_a_lock_outlives_its_folder(tmp_path, monkeypatch):
    """A lock that was opened by a relative path still finds its files when the process has gone elsewhere."""
    write(tmp_path, lock_of(locked("b")).dump())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b").write_bytes(content_of("b"))
    monkeypatch.chdir(tmp_path)
    lock = Lock("opendata.lock")
    monkeypatch.chdir("/")
    assert lock["b"] == tmp_path / "data" / "b"


@pytest.mark.parametrize(
    ("value", "offline"), [("", False), ("0", False), ("false", False), ("1", True), ("yes", True)]
)
def test_offline_by_the_environment(tmp_path, monkeypatch, value, offline):
    """OPENDATA_OFFLINE means what people mean by it."""
    monkeypatch.setenv("OPENDATA_OFFLINE", value)
    assert Lock(write(tmp_path, lock_of(locked("b")).dump())).offline is offline


def test_ten_thousand_files_import_little(tmp_path):
    """A lock of 10,000 files is read and used without any heavy import."""
    rows = [locked(f"folder {n // 100}/{n}.swc") for n in range(10_000)]
    path = write(tmp_path, lock_of(*rows).dump())
    place = tmp_path / "data" / rows[0].path
    place.parent.mkdir(parents=True)
    place.write_bytes(content_of(rows[0].path))
    code = (
        "import sys; from opendata_pkg.lock.lock import Lock; "
        f"lock = Lock(sys.argv[1]); assert len(lock) == 10_000; lock[{rows[0].path!r}]; "
        "bad = {'jsonschema', 'pyarrow', 'pooch', 'datalad', 'boto3', 'urllib3', 'rich', 'typer', 'yaml'}; "
        "assert not bad & set(sys.modules), bad & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


_NAMES = st.text(st.characters(codec="utf-8"))
_KNOWN = st.builds(Known, st.text(), st.booleans(), *[st.integers(0, 2**63)] * 4)


@given(st.builds(Record, st.dictionaries(_NAMES, _KNOWN), st.dictionaries(_NAMES, st.text())))
def test_records_read_back(tmp_path_factory, record):
    """The record of a synced folder reads back as it was written, whatever the names."""
    folder = tmp_path_factory.mktemp("record")
    write_record(folder, record)
    assert read_record(folder) == record


_ROWS = ("[]", '["d", 1]', '["d", true, 1]', "[1, true, 1, 1, 1, 1]", '["d", true, 1, 2, 3, null]')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2, "bringing": {}, "files": {}}',
        '{"format": 1, "bringing": {}, "files": 3}',
        '{"format": 1, "bringing": {"a": 3}, "files": {}}',
        *(f'{{"format": 1, "bringing": {{}}, "files": {{"a": {row}}}}}' for row in _ROWS),
    ],
)
def test_records_that_are_none(tmp_path, text):
    """A record that was altered is refused with what to do; nothing is guessed from it."""
    (tmp_path / ".opendata.json").write_text(text)
    with pytest.raises(BrokenRecordError, match="delete it"):
        read_record(tmp_path)


def test_a_row_that_was_changed(tmp_path):
    """The digest of a selection tells when a row was changed, added or removed by hand."""
    files = (locked("a"), locked("b", known="md5"))
    rows = ((file.path, file.size_bytes, file.digest) for file in files)
    rules = {"include": ["*"]}
    digest = selection_digest(".", None, Rules.from_dict(rules), rows)
    right = lock_of(*files, selections=(selected(rules=rules, digest=digest),))
    path = write(tmp_path, right.dump())
    Lock(path).check()
    for edit in ((files[0],), (*files, locked("c")), (files[0], locked("b", content=b"other"))):
        write(tmp_path, lock_of(*edit, selections=tuple(right.selections.values())).dump())
        with pytest.raises(ChangedLockError, match=r"selection cells has the digest sha256:\w+ by its files"):
            Lock(path).check()


@pytest.mark.parametrize(
    ("edit", "line", "message"),
    [
        (lambda text: text, None, "selection cells has the digest sha256:"),
        (lambda text: text.replace('"path": "b"', '"path": "a/b"'), 19, "'a/b' is in 'a', which is a file of the lock"),
    ],
)
def test_validate_sees_what_the_schema_cannot_say(tmp_path, edit, line, message):
    """`opendata validate` names rows that were changed, and places that clash, as it names faults of the schema."""
    path = write(tmp_path, edit(lock_of(locked("a"), locked("b")).dump()))
    (fault,) = validate([path]).faults
    assert (fault.file, fault.line) == (str(path), line)
    assert message in fault.message
    assert "history" in fault.remedy
