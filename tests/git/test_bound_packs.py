"""The list of packs as a document."""

from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg.documents import dump_json, parse_json
from opendata_pkg.git.bound_packs import BoundFile, BoundPack, join_lists, list_from_dict, list_to_dict

HEX = "0123456789abcdef"
FILES = st.builds(BoundFile, size_bytes=st.integers(0, 1 << 50), sha256=st.text(HEX, min_size=64, max_size=64))
NAMES = st.text(HEX, min_size=40, max_size=40).map("pack-{}".format)
PACKS = st.dictionaries(NAMES, st.builds(BoundPack, pack=FILES, index=FILES), max_size=3)
LISTS = st.dictionaries(st.text(min_size=1, max_size=5), PACKS, max_size=3)


@given(LISTS)
def test_what_is_written_is_read(packs):
    """A list comes back as it was, and its document follows the schema."""
    data = dump_json(list_to_dict(packs)).encode()
    assert list_from_dict(parse_json(data, "pack-list", where="packs.json")) == packs


@given(LISTS)
def test_order_does_not_count(packs):
    """The same packs make the same document, in whatever order they were found."""
    turned = {name: dict(reversed(found.items())) for name, found in reversed(packs.items())}
    assert dump_json(list_to_dict(turned)) == dump_json(list_to_dict(packs))


@given(LISTS, LISTS)
def test_joined_lists_have_the_packs_of_both(one, other):
    """Nothing is lost, and nothing added."""
    pairs = {(name, pack) for packs in (one, other) for name, found in packs.items() for pack in found}
    joined = join_lists(one, other)
    assert {(name, pack) for name, found in joined.items() for pack in found} == pairs
    assert joined.keys() == one.keys() | other.keys()
