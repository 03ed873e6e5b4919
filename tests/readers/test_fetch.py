"""Files without git: from a store, a snapshot or a bucket, into the cache that plain pooch shares."""

import io
import json
import os
import random
import re
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch as plain_pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opendata_pkg
from opendata_pkg.cache.cache import FileCache
from opendata_pkg.cache.wanted import WrongBytesError
from opendata_pkg.dataset.registry import registry_line
from opendata_pkg.plan.selection import EmptySelectionError
from opendata_pkg.readers.fetching import IncompleteFetchError, fetch, pooch
from opendata_pkg.targets.opening import open_target
from opendata_pkg.web.transport import OfflineError, RefusedError
from tests.core_support import catalogue_of, entry_of, opendata, publish, snapshot_files, snapshot_of
from tests.serving import send_other, serve, status

KEYS = ("Rat/a b.swc", "Rat/Cortex/c #1'.swc", "Rat/Cortex/d.txt", "Mouse/é.swc", "top.txt")
VERSION = "2026.1.0"


@pytest.fixture(autouse=True)
def _quiet_pooch():
    plain_pooch.get_logger().setLevel("WARNING")


@pytest.fixture
def web():
    """A bucket's web server: each object's content is its key."""
    with serve() as server:
        server.files = {f"bucket/{key}": key.encode() for key in KEYS}
        yield server


@pytest.fixture
def snapshot(web, tmp_path):
    """The file of a snapshot of that bucket; one object has no digest, one has a version."""
    entries = [entry_of(key, key, version="v 1" if key == KEYS[1] else None) for key in KEYS[:-1]]
    made = snapshot_of(*entries, entry_of(KEYS[-1], KEYS[-1], known=None), base_url=f"{web.url}/bucket/")
    path = tmp_path / "bucket.parquet"
    made.write(path)
    return path


@pytest.fixture
def store(web, tmp_path):
    """A store with one release of the bucket."""
    made = snapshot_of(*KEYS, base_url=f"{web.url}/bucket/")
    publish(tmp_path / "store", VERSION, made, catalogue_of())
    return tmp_path / "store"


def test_from_a_snapshot(web, snapshot, tmp_path):
    """Every file, by its path in the tree, where pooch keeps it; the second time from the cache, also offline."""
    result = fetch(str(snapshot))
    assert {path: local.read_text() for path, local in result.paths.items()} == {key: key for key in KEYS}
    assert list(result.paths) == sorted(KEYS)
    assert (result.downloaded, result.failures) == (5, ())
    assert FileCache.open().snapshot_folder(result.snapshot) == FileCache.open().folder / "files" / result.snapshot[:16]
    again = opendata_pkg.fetch(str(snapshot), offline=True)
    assert again.paths == result.paths
    assert (again.downloaded, again.downloaded_bytes) == (0, 0)
    assert len(web.asked) == 5


def test_from_a_store(store, web):
    """A branch at a version: its whole subtree, and what rules leave of it."""
    found = fetch(f"Rat@{VERSION}", store=store)
    assert list(found.paths) == ["Rat/Cortex/c #1'.swc", "Rat/Cortex/d.txt", "Rat/a b.swc"]
    found = fetch("Rat", store=store, include=["*.swc"], exclude=["Cortex/"])
    assert list(found.paths) == ["Rat/a b.swc"]
    found = fetch("Rat:Cortex/d.txt", store=store)
    assert list(found.paths) == ["Rat/Cortex/d.txt"]
    assert len(web.asked) == 3


@pytest.mark.s3
def test_from_a_bucket(s3_server, tmp_path):
    """Straight from S3, without a store: a folder of it, at paths relative to that folder."""
    client = s3_server.client()
    s3_server.make_bucket("fetch-from")
    for key in ("in/a.swc", "in/deep/b.swc", "out/c.swc"):
        client.put_object(Bucket="fetch-from", Key=key, Body=key.encode())
    result = fetch("s3://fetch-from/in", endpoint_url=s3_server.endpoint_url, to=tmp_path / "to")
    assert result.failures == ()
    assert {path: local.read_text() for path, local in result.paths.items()} == {
        "in/a.swc": "in/a.swc",
        "in/deep/b.swc": "in/deep/b.swc",
    }
    assert result.paths["in/deep/b.swc"] == tmp_path / "to" / "deep" / "b.swc"


def test_an_empty_selection(snapshot):
    """A mistyped rule copies nothing, loudly: what is there is named."""
    with pytest.raises(EmptySelectionError, match=r"\*\.swc"):
        fetch(str(snapshot), include=["*.sw"])


def test_a_new_snapshot_of_the_same_content(snapshot, web, tmp_path):
    """What did not change is not fetched again."""
    fetch(str(snapshot))
    more = snapshot_of(*KEYS, entry_of("new", "top.txt"), base_url=f"{web.url}/bucket/")
    more.write(tmp_path / "more.parquet")
    web.files.clear()
    result = fetch(str(tmp_path / "more.parquet"))
    assert (result.downloaded, result.failures) == (0, ())
    assert result.paths["new"].read_text() == "top.txt"


def test_files_that_cannot_be_had(snapshot, web):
    """All others are there; each is named, with why."""
    web.script["bucket/Rat/Cortex/d.txt"] = [send_other(b"Rat/Cortex/!.txt")]
    web.script["bucket/top.txt"] = [status(403)]
    result = fetch(str(snapshot))
    assert {failure.wanted.name: type(failure.error) for failure in result.failures} == {
        "Rat/Cortex/d.txt": WrongBytesError,
        "top.txt": RefusedError,
    }
    assert set(result.paths) == set(KEYS) - {"Rat/Cortex/d.txt", "top.txt"}
    with pytest.raises(
        IncompleteFetchError, match=r"2 of 5 files could not be had.*\n.*d\.txt: expected sha256.*\n.*top"
    ):
        result.check_complete()


def test_offline_without_a_cache(snapshot):
    """Said of each file."""
    result = fetch(str(snapshot), offline=True)
    assert {type(failure.error) for failure in result.failures} == {OfflineError}


def test_a_folder_of_ones_own(store, tmp_path):
    """Paths are relative to the branch; a second run leaves what is right; the copies are one's own to write."""
    for _ in range(2):
        result = fetch("Rat", store=store, to=tmp_path / "to")
        assert result.failures == ()
        assert result.paths["Rat/Cortex/d.txt"] == tmp_path / "to" / "Cortex" / "d.txt"
    (tmp_path / "to" / "a b.swc").write_text("mine")
    assert result.got["Rat/a b.swc"].path.read_text() == "Rat/a b.swc"


@pytest.mark.parametrize("mine", ["mine", "Rat/A b.swc"])
def test_what_stands_in_the_way_stays(store, tmp_path, mine):
    """A file of other content, of the same size too, is left alone and named; all others come."""
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "a b.swc").write_text(mine)
    result = fetch("Rat", store=store, to=tmp_path / "to")
    (failure,) = result.failures
    assert "'a b.swc' is another file" in str(failure.error)
    assert (tmp_path / "to" / "a b.swc").read_text() == mine
    assert len(result.paths) == 2


def test_what_is_no_file_is_in_the_way(web, tmp_path):
    """A link as long as the file, a queue as empty as it: neither is read or taken for it, and all others come."""
    web.files = {"bucket/empty": b"", "bucket/linked": b"12345", "bucket/other": b"x"}
    entries = [entry_of(key.removeprefix("bucket/"), data.decode()) for key, data in web.files.items()]
    snapshot_of(*entries, base_url=f"{web.url}/bucket/").write(tmp_path / "s.parquet")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "linked").symlink_to("5char")
    os.mkfifo(tmp_path / "to" / "empty")
    result = fetch(str(tmp_path / "s.parquet"), to=tmp_path / "to")
    assert list(result.paths) == ["other"]
    said = {failure.wanted.name: str(failure.error) for failure in result.failures}
    assert "'linked' is a symbolic link" in said["linked"]
    assert "'empty' is no ordinary file" in said["empty"]


def test_links_out_of_the_folder_are_not_followed(store, tmp_path):
    """Nothing is written outside of the folder that was named."""
    (tmp_path / "to").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "to" / "Cortex").symlink_to(tmp_path / "outside")
    result = fetch("Rat", store=store, to=tmp_path / "to")
    assert {failure.wanted.name for failure in result.failures} == {"Rat/Cortex/c #1'.swc", "Rat/Cortex/d.txt"}
    assert list((tmp_path / "outside").iterdir()) == []


def test_pooch_finds_what_fetch_brought(snapshot, web):
    """And asks for nothing; its registry has every file, with versioned URLs."""
    result = fetch(str(snapshot))
    asked = len(web.asked)
    fetcher = opendata_pkg.pooch(str(snapshot))
    for key in KEYS[:-1]:
        assert fetcher.fetch(key) == str(result.paths[key])
    assert len(web.asked) == asked
    assert fetcher.registry["top.txt"] is None
    assert fetcher.urls[KEYS[1]].endswith("?versionId=v%201")


def test_fetch_finds_what_pooch_brought(snapshot, web):
    """Hashed once, then stamped; nothing is asked for."""
    fetcher = pooch(str(snapshot))
    for key in KEYS[:-1]:
        fetcher.fetch(key)
    asked = len(web.asked)
    result = fetch(str(snapshot), exclude=["top.txt"])
    assert (result.downloaded, result.failures) == (0, ())
    assert len(web.asked) == asked


def test_processors(web, tmp_path):
    """Called as pooch calls them: with name, action and Pooch; what they make is handed back."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("inside.txt", "inside")
    web.files["bucket/x.zip"] = archive.getvalue()
    entry = entry_of("x.zip", "")
    made = snapshot_of(type(entry)(key=entry.key, size_bytes=len(archive.getvalue())), base_url=f"{web.url}/bucket/")
    made.write(tmp_path / "zip.parquet")
    seen = []

    def note(name, action, fetcher):
        seen.append((name, action, type(fetcher)))
        return plain_pooch.Unzip()(name, action, fetcher)

    for action in ("download", "fetch"):
        result = fetch(str(tmp_path / "zip.parquet"), processor=note)
        (unpacked,) = result.processed["x.zip"]
        assert unpacked == f"{result.paths['x.zip']}.unzip/inside.txt"
        assert seen.pop() == (str(result.paths["x.zip"]), action, plain_pooch.Pooch)


def read_registry(text):
    """What plain pooch has after reading a registry."""
    fetcher = plain_pooch.create(path="unused", base_url="", registry=None)
    fetcher.load_registry(io.StringIO(text))
    return fetcher.registry, fetcher.urls


NAME = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=15),
    st.text(st.sampled_from("ab #'\"\\$`!;&|~*?[]{}()<>%\t\n\x85\u2028é=,/"), min_size=1, max_size=10),
)


@settings(max_examples=50)
@given(st.sets(NAME, min_size=1, max_size=8), st.sampled_from(["sha256", "md5"]), st.sampled_from([None, "v 1'#"]))
def test_pooch_reads_the_registry_of_any_selection(keys, known, version):
    """Blanks, quotes, `#`, any script: the same names, digests and URLs come back."""
    made = snapshot_of(*(entry_of(key, key, known=known, version=version) for key in keys))
    table = snapshot_files(made, None)
    digests = [
        (sha256 and f"sha256:{sha256}") or f"md5:{md5}"
        for sha256, md5 in zip(table["sha256"].to_pylist(), table["md5"].to_pylist(), strict=True)
    ]
    paths = table["path"].to_pylist()
    urls = [f"http://127.0.0.1/{number} ?#'" for number in range(len(paths))]
    lines = [registry_line(*words) for words in zip(paths, digests, urls, strict=True)]
    registry, read_urls = read_registry("".join(lines))
    assert registry == dict(zip(paths, digests, strict=True))
    assert read_urls == dict(zip(paths, urls, strict=True))


def test_the_registry_command(snapshot):
    """What it prints, plain pooch reads; what has no digest is counted on stderr."""
    code, text, said = opendata("registry", snapshot)
    assert code == 0
    registry, urls = read_registry(text)
    files = {file.path: file for file in open_target(str(snapshot)).select().files() if file.digest}
    assert registry == {path: file.digest for path, file in files.items()}
    assert urls == {path: file.url for path, file in files.items()}
    assert said == "left out for want of a digest: 1 of 5 files\n"
    document = json.loads(opendata("registry", snapshot, "--json")[1])
    assert (document["registry"], document["urls"], document["left_out"]) == (registry, urls, 1)


def test_the_registry_of_a_branch(store):
    """A store's dataset, with rules; names are paths in the tree, as in the cache."""
    code, text, _ = opendata("registry", f"Rat@{VERSION}", "--store", store, "--include", "*.swc", "--larger", "12")
    assert (code, list(read_registry(text)[0])) == (0, ["Rat/Cortex/c #1'.swc"])


def test_the_command(store, tmp_path):
    """Local paths, one a line; as JSON, with digests."""
    code, text, _ = opendata("fetch", "Rat", "--store", store, "--include", "*.txt", "--to", tmp_path / "to")
    assert (code, text) == (0, f"{tmp_path / 'to' / 'Cortex' / 'd.txt'}\n")
    document = json.loads(
        opendata("fetch", "Rat", "--store", store, "--smaller", "1kB", "--json", "--offline", "--include", "*.txt")[1]
    )
    assert (document["downloaded"], document["failed"]) == (0, [])
    assert [(file["path"], file["size"]) for file in document["files"]] == [("Rat/Cortex/d.txt", 16)]


def test_the_command_tells_totals(store):
    """On stderr: how much there is, how much of it came now, and how long it took."""
    words = ("fetch", "Rat", "--store", store, "--include", "*.txt")
    assert re.fullmatch(r"1 file, 16 B; 1 downloaded, 16 B, in [0-9.]+ s\n", opendata(*words)[2])
    assert re.fullmatch(r"1 file, 16 B; 0 downloaded, 0 B, in [0-9.]+ s\n", opendata(*words)[2])
    assert opendata(*words, "--quiet")[2] == ""
    assert opendata(*words, "--json")[2] == ""


@pytest.mark.parametrize(
    ("trouble", "code"), [([send_other(b"Rat/Cortex/!.txt")], 6), ([status(403)], 5), ([status(404)], 5)]
)
def test_the_commands_exit_status(store, web, trouble, code):
    """6 for wrong bytes, 5 for other troubles; the files are named, and those that came are printed."""
    web.script["bucket/Rat/Cortex/d.txt"] = trouble
    done = opendata("fetch", "Rat", "--store", store)
    assert done[0] == code
    assert done[1].count("\n") == 2
    assert "1 of 3 files could not be had" in done[2]
    assert "Rat/Cortex/d.txt" in done[2]


def test_a_url_is_the_objects(web, store):
    """What is asked for is the key, percent-encoded."""
    fetch("Rat", store=store)
    assert {asked[0] for asked in web.asked} == {f"bucket/{key}" for key in KEYS if key.startswith("Rat/")}
    assert all(
        unquote(urlsplit(file.url).path).startswith("/bucket/Rat/")
        for file in open_target("Rat", store=store).select().files()
    )


def test_a_long_run_of_names(web, tmp_path):
    """Names at the limit of the file system: parts have short names of their own."""
    key = f"{'d' * 255}/{'é' * 127}x"
    web.files[f"bucket/{key}"] = key.encode()
    snapshot_of(key, base_url=f"{web.url}/bucket/").write(tmp_path / "long.parquet")
    result = fetch(str(tmp_path / "long.parquet"), to=tmp_path / "to")
    assert result.failures == ()
    assert (tmp_path / "to" / key).read_text() == key


def test_thousands(web, tmp_path):
    """Many files, some of them twice."""
    choice = random.Random(5)
    keys = {f"f/{number}": f"content {choice.randrange(250)}" for number in range(300)}
    web.files = {f"bucket/{key}": content.encode() for key, content in keys.items()}
    made = snapshot_of(*(entry_of(key, content) for key, content in keys.items()), base_url=f"{web.url}/bucket/")
    made.write(tmp_path / "many.parquet")
    result = fetch(str(tmp_path / "many.parquet"), jobs=8)
    assert {path: local.read_text() for path, local in result.paths.items()} == keys
    assert len(web.asked) == len(set(keys.values()))


def test_the_page(store, web, monkeypatch, capsys, tmp_path):
    """The Python of docs/how-to/fetch-files.md does what the text says."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "fetch-files.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    code = "\n".join(blocks).replace("Experimental_Data", "Rat").replace('"registry.txt"', repr(str(tmp_path / "r")))
    (tmp_path / "r").write_text(opendata("registry", "Rat", "--store", store)[1])
    monkeypatch.setenv("OPENDATA_STORE", str(store))
    names = {}
    exec(code, names)  # noqa: S102 - our own page
    assert list(names["fetcher"].registry) == ["Rat/Cortex/c #1'.swc", "Rat/Cortex/d.txt", "Rat/a b.swc"]
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert len(web.asked) == 2
