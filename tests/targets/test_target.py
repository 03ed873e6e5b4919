"""What people name: a dataset of a store wherever it is served, a bucket, a snapshot's file."""

import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from opendata_pkg.documents import NewerFormatError
from opendata_pkg.listing.s3 import NothingThereError
from opendata_pkg.model import NotFoundError, SourceError, UsageError
from opendata_pkg.plan.selection import Rules
from opendata_pkg.store import contents
from opendata_pkg.store.lookup import NotADatasetWordError
from opendata_pkg.store.places import BrokenStoreError, NoStoreError, NotInCacheError
from opendata_pkg.store.published import NotAStoreError
from opendata_pkg.targets import words
from opendata_pkg.targets.opening import open_target
from tests.core_support import publish, snapshot_of

KEYS = ("Rat/Cortex/a.swc", "Rat/Cortex/b%c d.swc", "Rat/x.txt", "Mouse/y#z", "top", "a\nb", "tmp/scratch")


@pytest.fixture
def store(tmp_path):
    """A store with two releases."""
    publish(tmp_path / "store", "1.0.0", snapshot_of("Rat/Cortex/a.swc"))
    publish(tmp_path / "store", "1.1.0", snapshot_of(*KEYS))
    return tmp_path / "store"


@pytest.fixture
def counting():
    """A web server that notes what it is asked for: call it with a folder, get its URL and the list."""
    servers = []

    def serve(folder):
        asked = []

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                super().do_GET()

            def log_message(self, *words):
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/", asked

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def paths(target, **rules):
    """The paths of what rules select."""
    return [file.path for file in target.select(Rules(**rules)).files()]


def test_a_dataset_is_all_below_its_branch(store):
    """Across the borders of datasets, keys read back exactly, what the catalogue ignores left out."""
    target = open_target(".", store=store)
    files = list(target.select().files())
    assert [file.path for file in files] == [
        "Mouse/y#z", "Rat/Cortex/a.swc", "Rat/Cortex/b%25c d.swc", "Rat/x.txt", "a%0Ab", "top",
    ]  # fmt: skip
    assert sorted(file.key for file in files) == sorted(KEYS[:-1])
    assert (target.origin.version, target.origin.date) == ("1.1.0", "2024-01-01")
    assert paths(open_target("Rat@1.0.0", store=store)) == ["Rat/Cortex/a.swc"]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("a.parquet", "snapshot"),
        ("snapshots/a.parquet", "snapshot"),
        ("./12:00.parquet", "snapshot"),
        ("/a/12:00.parquet", "snapshot"),
        ("Rat:a.parquet", "store"),
        (":a.parquet", "store"),
        ("Rat@1.0.0:Cortex/a.parquet", "store"),
        (".:a.parquet", "store"),
        ("Rat", "store"),
        ("s3://bucket/a.parquet", "bucket"),
        ("opendata.lock", "lock"),
        ("../12:00.lock", "lock"),
        ("Rat:a.lock", "store"),
        ("s3://bucket/a.lock", "bucket"),
    ],
)
def test_a_word_is_of_one_kind(word, kind):
    """A colon makes it a file of a dataset, unless it begins as a path does; what it ends in says the rest."""
    assert words.is_bucket(word) is (kind == "bucket")
    assert words.is_snapshot(word) is (kind == "snapshot")
    assert words.is_lock(word) is (kind == "lock")


def test_a_parquet_file_of_a_dataset_is_no_snapshot(tmp_path):
    """It is named as any other of its files is, in a dataset's folder or at its top, of a version too."""
    publish(tmp_path / "store", "1.0.0", snapshot_of("Rat/x.parquet", "Rat/Cortex/t.parquet"))
    for word in ("Rat:x.parquet", "Rat@1.0.0:x.parquet"):
        assert paths(open_target(word, store=tmp_path / "store")) == ["Rat/x.parquet"]
    assert paths(open_target(".:Rat/Cortex/t.parquet", store=tmp_path / "store")) == ["Rat/Cortex/t.parquet"]
    assert paths(open_target("Rat:Cortex/t.parquet", store=tmp_path / "store")) == ["Rat/Cortex/t.parquet"]


def test_the_same_is_read_from_the_web_with_few_requests(store, counting):
    """A folder and any dumb server give the same selection; what was read is cached, and only the index asked again."""
    url, asked = counting(store)
    here, there = (open_target("Rat", store=where).select() for where in (store, url))
    assert here.digest == there.digest
    assert list(here.files()) == list(there.files())
    assert asked[0] == "/index.json"
    assert not [path for path in asked if "mouse" in path or "snapshots" in path or "git" in path]
    asked.clear()
    assert open_target("Rat", store=url).select().digest == here.digest
    assert asked == ["/index.json"]


def test_only_the_shards_that_can_hold_a_path_are_transferred(tmp_path, counting):
    """Of a dataset of many files, one file's row takes one shard, whichever it is in."""
    keys = [f"Mouse/{folder}/{number:05}" for folder in "abc" for number in range(3000)]
    publish(tmp_path / "store", "1.0.0", snapshot_of(*keys))
    url, asked = counting(tmp_path / "store")
    for key in (keys[0], keys[4500], keys[-1]):
        asked.clear()
        assert paths(open_target(f"Mouse:{key.removeprefix('Mouse/')}", store=url)) == [key]
        assert len([path for path in asked if path.endswith(".csv")]) <= 1
    assert paths(open_target("Mouse:b", store=url)) == keys[3000:6000]


@pytest.mark.parametrize("together_bytes", [0, 100_000, 1 << 30])
def test_however_many_shards_are_looked_through_together(tmp_path, monkeypatch, together_bytes):
    """Rules give the same files of the same datasets, with all that is known of them."""
    keys = [f"{branch}/{folder}/{n:04}%{'x' * (n % 30)}.{end}" for branch in ("Mouse", "Rat/Cortex", "Rat") for folder in "ab"
            for n in range(1500) for end in ("swc", "txt")]  # fmt: skip
    snapshot = snapshot_of(*keys)
    publish(tmp_path / "store", "1.0.0", snapshot)
    monkeypatch.setattr(contents, "_TOGETHER_BYTES", together_bytes)
    larger = sorted(row["size"] for row in snapshot.table.to_pylist())[len(keys) // 2]
    rules = Rules(include=("*.swc",), exclude=("/Rat/a/", "/Mouse/b/000*"), larger=larger)
    found = list(open_target(".", store=tmp_path / "store").select(rules).files())
    wanted = [
        row
        for row in snapshot.table.to_pylist()
        if row["size"] > larger and row["key"].endswith(".swc") and not row["key"].startswith(("Rat/a/", "Mouse/b/000"))
    ]
    known = {"key": "key", "size_bytes": "size", "sha256": "sha256", "version_id": "version_id", "etag": "etag"}
    assert len(wanted) > 100
    assert [{column: getattr(file, name) for name, column in known.items()} for file in found] == [
        {column: row[column] for column in known.values()} for row in wanted
    ]
    assert [file.path for file in found] == [row["key"].replace("%", "%25") for row in wanted]
    assert {file.branch for file in found} == {"Mouse", "Rat", "Rat/Cortex"}


def test_offline_works_from_the_cache_and_nothing_else(store, counting):
    """What was read before is read again without a request; what was not is an error that says what to do."""
    url, asked = counting(store)
    digest = open_target("Rat", store=url).select().digest
    asked.clear()
    assert open_target("Rat", store=url, offline=True).select().digest == digest
    assert asked == []
    mouse = open_target("Mouse", store=url, offline=True)
    with pytest.raises(NotInCacheError, match=r"is not in the cache: run once without --offline"):
        mouse.select()
    assert asked == []


def test_a_server_that_lies_is_found_out(store, tmp_path, counting, monkeypatch):
    """An inventory, a descriptor or an index other than was released is refused, wherever it comes from."""
    for number, pattern in enumerate(("**/files/*.csv", "**/datapackage.json", "**/1.1.0/index.json", "*/*.yaml")):
        copy = tmp_path / f"copy{number}"
        # Nothing is known of it yet.
        monkeypatch.setenv("OPENDATA_CACHE", str(tmp_path / f"cache{number}"))
        shutil.copytree(store, copy)
        url, _ = counting(copy)
        for path in copy.glob(pattern):
            path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
        for where in (copy, url):
            with pytest.raises(BrokenStoreError, match="is not as it was released"):
                open_target("Rat/Cortex", store=where).select()


def test_a_cache_that_was_altered_is_read_anew(store, counting, home):
    """A kept file with other bytes is not believed."""
    url, asked = counting(store)
    digest = open_target("Rat", store=url).select().digest
    for path in (home / "cache" / "opendata" / "stores" / "content").rglob("*"):
        if path.is_file():
            path.write_bytes(b"other")
    asked.clear()
    assert open_target("Rat", store=url).select().digest == digest
    assert len(asked) > 1


def test_an_index_cannot_lead_out_of_the_store(store):
    """A path with `..` in somebody else's index is refused."""
    index = json.loads((store / "index.json").read_bytes())
    index["releases"][1]["index"] = "releases/../../secret"
    (store / "index.json").write_text(json.dumps(index))
    with pytest.raises(BrokenStoreError, match=r"expected a path inside the store .*, got 'releases/\.\./\.\./secret'"):
        open_target("Rat", store=store)


def test_a_newer_format_is_refused_with_a_sentence(store):
    """It says what to do."""
    index = json.loads((store / "index.json").read_bytes())
    (store / "index.json").write_text(json.dumps(index | {"format": 2}))
    with pytest.raises(NewerFormatError, match=r"format version 2, but this opendata reads up to 1\. Upgrade it"):
        open_target("Rat", store=store)


def test_places_without_a_store_are_told(tmp_path, static_server):
    """A folder that is none, a server without one, no server, another scheme, no store named at all."""
    (tmp_path / "empty").mkdir()
    served = static_server(tmp_path)
    for where, error in (
        (tmp_path / "none", NoStoreError),
        (tmp_path / "empty", NotAStoreError),
        (f"{served}/empty", NoStoreError),
        ("ftp://example.org/", UsageError),
    ):
        with pytest.raises(error):
            open_target("Rat", store=where)
    (tmp_path / "c.yaml").write_text('format: 1\nid: x\ntitle: X\nepoch: "2024-01-01T00:00:00Z"\n')
    with pytest.raises(NoStoreError, match=r"names no published store: name one with --store .* s3://BUCKET/PREFIX"):
        open_target("Rat", catalogue=tmp_path / "c.yaml")
    with pytest.raises(NotADatasetWordError, match="a store's URL goes after --store"):
        open_target("https://example.org/store", catalogue=tmp_path / "c.yaml")


def test_a_snapshot_file_is_a_source(tmp_path):
    """All its objects, keys as paths, branches by the catalogue that is given."""
    snapshot = snapshot_of(*KEYS, "a/b", "a")
    snapshot.write(tmp_path / "s.parquet")
    target = open_target(str(tmp_path / "s.parquet"))
    assert {"a/b", "a%file", "b%25c d.swc"} <= {path.removeprefix("Rat/Cortex/") for path in paths(target)}
    assert target.origin.snapshot == snapshot.id
    assert (target.origin.version, target.origin.branch) == (None, ".")


@pytest.mark.s3
def test_a_bucket_is_a_source(s3_server, monkeypatch):
    """A folder, one object, a prefix inside a name, and all of it; offline as it was when last asked."""
    s3_server.make_bucket("target")
    client = s3_server.client()
    for key in ("Rat/a.swc", "Rat/b/c.swc", "Ratatouille/d", "top"):
        client.put_object(Bucket="target", Key=key, Body=key.encode())
    at = {"endpoint_url": s3_server.endpoint_url}
    assert paths(open_target("s3://target", **at)) == ["Rat/a.swc", "Rat/b/c.swc", "Ratatouille/d", "top"]
    assert paths(open_target("s3://target/Rat", **at)) == ["Rat/a.swc", "Rat/b/c.swc"]
    assert paths(open_target("s3://target/Rat/", **at), include=("/a.swc",)) == ["Rat/a.swc"]
    assert paths(open_target("s3://target/Rat/b/c.swc", **at)) == ["Rat/b/c.swc"]
    assert paths(open_target("s3://target/Rata", **at)) == ["Ratatouille/d"]
    with pytest.raises(NothingThereError, match="Rat/"):
        open_target("s3://target/Ratt/", **at)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert paths(open_target("s3://target/Rat", offline=True, **at)) == ["Rat/a.swc", "Rat/b/c.swc"]
    with pytest.raises(NotInCacheError):
        open_target("s3://target/other", offline=True, **at)


@pytest.mark.s3
def test_a_store_in_a_bucket_is_read_as_anybody(s3_server, store):
    """`s3://bucket/prefix` is where the store's files are."""
    s3_server.make_bucket("published")
    client = s3_server.client()
    for path in store.rglob("*"):
        if path.is_file() and "git" not in path.relative_to(store).parts and path.name != ".lock":
            client.put_object(Bucket="published", Key=f"my/store/{path.relative_to(store)}", Body=path.read_bytes())
    there = open_target("Rat", store="s3://published/my/store", endpoint_url=s3_server.endpoint_url)
    assert there.select().digest == open_target("Rat", store=store).select().digest
    assert there.origin.source == "s3://published/my/store/"


@pytest.mark.usefixtures("quick_retries")
def test_a_server_that_is_down_is_a_source_error():
    """With the address that did not answer."""
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9"):
        open_target("Rat", store="http://127.0.0.1:9/store")


def test_versions_that_are_not_there_name_the_last(store):
    """As everywhere."""
    with pytest.raises(NotFoundError, match=r"no version 9\.9\.9 in .*: the last ones are 1\.0\.0, 1\.1\.0"):
        open_target("Rat@9.9.9", store=store)


def test_notebooks_show_what_it_is(store):
    """A dataset and a selection as small tables, every text escaped."""
    shown = open_target("Rat", store=store)._repr_html_()
    assert "<caption>Rat@1.1.0</caption>" in shown
    assert '<td style="text-align: right">3</td>' in shown
    selection = open_target(".", store=store).select(Rules(include=("y#z", "a.swc")))._repr_html_()
    assert "Mouse/y#z" in selection
    assert "2 files" in selection
