"""Shards made of those of the last release: byte for byte what all rows would give."""

import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from opendata_pkg.dataset import inventory
from opendata_pkg.dataset.descriptor import table_resource
from opendata_pkg.dataset.inventory import InventoryWriter, begins_shard, paths_and_lines
from opendata_pkg.dataset.kept_shards import DamagedShardsError, KeptShards
from opendata_pkg.plan.changes import difference
from opendata_pkg.plan.plan import make_plans
from opendata_pkg.vocabulary import FIRST_PATH
from tests.core_support import catalogue_of, digest_of, entry_of, snapshot_of

KEY = st.text(st.sampled_from('ab/,"% é'), min_size=1, max_size=4)
ETAG = st.sampled_from(["e", '"', 'e",', ',"'])
OBJECTS = st.dictionaries(KEY, ETAG, max_size=30)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """Of three rows, or so."""
    monkeypatch.setattr(inventory, "_MEAN_ROWS", 3)


def plan_of(objects, *, released=()):
    """The one plan of these keys and their ETags; keys that were `released` keep their paths."""
    snapshot = snapshot_of(*(entry_of(key, etag=etag, size_bytes=1) for key, etag in objects.items()))
    earlier = [pa.array(sorted(released), pa.string())] if released else []
    return make_plans(snapshot, catalogue_of("branches: {}\n"), earlier_keys=earlier).by_branch[""]


def shards_of(plan):
    """All shards of a plan."""
    writer = InventoryWriter()
    shards = [shard for batch in plan.batches() for shard in writer.add(batch)]
    return [*shards, *writer.finish()]


def release(folder, shards):
    """Put shards where a release has them; returns what `KeptShards` takes."""
    (folder / "files").mkdir(exist_ok=True)
    resources = []
    for shard in shards:
        (folder / "files" / shard.info.name).write_bytes(shard.data)
        resource = table_resource("name", f"files/{shard.info.name}", shard.info, "schema")
        resources.append(resource | {FIRST_PATH: shard.info.first_path})
    (folder / "datapackage.json").write_text(json.dumps({"resources": resources}))
    return folder, digest_of((folder / "datapackage.json").read_text())


def edited(kept, before, after):
    """The shards of a plan, made of those of the plan before."""
    found = difference(before.table, after.table)
    gone = sorted(before.naming.path_of(key).encode() for key in found.gone["key"].to_pylist())
    rows = list(paths_and_lines(after.batches(found.new)))
    return list(kept.edited(gone, rows, [path for path, _ in rows if begins_shard(path)]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OBJECTS, OBJECTS)
@example({"a": "e"}, {})
@example({}, {"a": "e"})
@example({f"a{n}": "e" for n in range(30)}, {f"a{n}": "e" for n in range(15, 40)})
@example({"a": "e", "a/": "e", "b": "e"}, {"a": "e", "a/": "f"})
def test_a_change_gives_what_all_rows_give(tmp_path_factory, before, after):
    """Rows that come, go and change, with commas and quotes: the same names, bytes and first paths, in the same order."""
    old, new = plan_of(before), plan_of(after, released=before)
    # Where another object or folder has a name of its own now, all rows are made.
    assume(old.naming == new.naming)
    folder = tmp_path_factory.mktemp("release")
    released, wanted = shards_of(old), shards_of(new)
    found = edited(KeptShards(*release(folder, released)), old, new)
    assert [(shard.info, shard.data) for shard in found] == [(shard.info, shard.data) for shard in wanted]
    same = [shard for shard in found if shard.released is not None]
    assert all(shard.released == folder / "files" / shard.info.name for shard in same)
    assert all(shard.released.read_bytes() == shard.data for shard in same)


MANY = {f"a{number}": "e" for number in range(30)}


def test_shards_without_a_change_are_those_released(tmp_path):
    """Of one row that is other now, one shard is made anew; all others are files that are there."""
    plan = plan_of(MANY)
    kept = KeptShards(*release(tmp_path, shards_of(plan)))
    found = edited(kept, plan, plan_of(MANY | {"a3": "f"}))
    assert len(found) > 5
    assert [b"a3," in shard.data for shard in found] == [shard.released is None for shard in found]


@pytest.mark.parametrize(
    "harm",
    [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes().replace(b",e,", b",f,"))],
    ids=["lost", "altered"],
)
def test_what_is_not_as_it_was_released_is_said(tmp_path, harm):
    """A shard that is gone or altered, whether a change is in it or not."""
    plan = plan_of(MANY)
    kept = KeptShards(*release(tmp_path, shards_of(plan)))
    for file in (tmp_path / "files").iterdir():
        data = file.read_bytes()
        harm(file)
        with pytest.raises(DamagedShardsError, match=file.name):
            edited(kept, plan, plan_of(MANY | {"a0": "f", "b": "e"}))
        file.write_bytes(data)


def test_another_descriptor_says_nothing(tmp_path):
    """Of the shards, whose digests it has: neither one that was altered, nor one that is gone."""
    folder, _ = release(tmp_path, shards_of(plan_of(MANY)))
    with pytest.raises(DamagedShardsError, match=r"datapackage\.json"):
        KeptShards(folder, digest_of("other"))
    (folder / "datapackage.json").unlink()
    with pytest.raises(DamagedShardsError, match=r"datapackage\.json"):
        KeptShards(folder, digest_of("other"))


def test_a_change_of_other_rows_is_said(tmp_path):
    """Rows that are gone but were not there, or new but were there: then these are not the shards before the change."""
    plan = plan_of(MANY)
    kept = KeptShards(*release(tmp_path, shards_of(plan)))
    with pytest.raises(DamagedShardsError, match="released inventory"):
        edited(kept, plan_of(MANY | {"b": "e"}), plan)
    with pytest.raises(DamagedShardsError, match="released inventory"):
        edited(kept, plan_of({}), plan)


def test_rows_of_several_lines_are_not_taken_apart(tmp_path):
    """No S3 server has line ends in ETags; if one did, shards that change would be made of all rows."""
    plan = plan_of(MANY | {"a0": "e\n"})
    kept = KeptShards(*release(tmp_path, shards_of(plan)))
    with pytest.raises(DamagedShardsError, match="one line each"):
        edited(kept, plan, plan_of(MANY))
