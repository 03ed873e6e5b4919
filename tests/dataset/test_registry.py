"""Registries, as plain pooch reads them."""

import io

import pooch
from hypothesis import example, given
from hypothesis import strategies as st

from opendata_pkg.dataset.registry import registry_line, registry_lines
from opendata_pkg.plan.plan import make_plans
from tests.core_support import catalogue_of, entry_of, snapshot_of

NAME = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=15),
    st.text(st.sampled_from("ab #'\"\\$`!;&|~*?[]{}()<>%\t\n\x85\u2028é=,"), min_size=1, max_size=10),
)


def line_of(file):
    """The line of a planned file."""
    return registry_line(file.path, file.entry.digest, file.url)


def read_back(text, tmp_path=None):
    """The names, hashes and URLs that pooch has after reading a registry."""
    fetcher = pooch.create(path="cache", base_url="", registry=None)
    fetcher.load_registry(io.StringIO(text) if tmp_path is None else tmp_path)
    return fetcher.registry, fetcher.urls


@given(
    st.sets(NAME, max_size=8),
    st.sampled_from(["sha256", "md5", "both"]),
    st.sampled_from([None, "null", "v 1'#"]),
    st.sampled_from(["https://data.example.org/", "http://127.0.0.1:9000/it's~/"]),
)
@example({"# not a comment", "#", "'", "a b", "\\", '"', " x ", "é日"}, "sha256", None, "http://h/")
def test_pooch_reads_every_name(keys, known, version, base):
    """Blanks, quotes, `#`, any script: the same path, digest and URL come back."""
    entries = [entry_of(key, key, known=known, version=version) for key in keys]
    snapshot = snapshot_of(*entries, base_url=base)
    plan = make_plans(snapshot, catalogue_of("branches: {}\n")).by_branch[""]
    files = list(plan.files())
    lines = [line_of(file) for file in files]
    assert lines == [line for batch in plan.batches() for line in registry_lines(batch, base).to_pylist()]
    registry, urls = read_back("".join(lines))
    assert registry == {file.path: file.entry.digest for file in files}
    assert urls == {file.path: file.url for file in files}


def test_pooch_reads_the_file(tmp_path):
    """From a file on disk too, whose encoding pooch does not ask about."""
    snapshot = snapshot_of("é/日本.swc", "a\u2028b", "a\x85b")
    files = list(make_plans(snapshot, catalogue_of("branches: {}\n")).by_branch[""].files())
    path = tmp_path / "registry.txt"
    path.write_bytes("".join(map(line_of, files)).encode())
    registry, _ = read_back("", path)
    assert set(registry) == {"é/日本.swc", "a%E2%80%A8b", "a%C2%85b"}


def test_a_file_without_a_digest_has_no_line():
    """Pooch would refuse the whole registry for it."""
    plan = make_plans(snapshot_of(entry_of("a", known=None)), catalogue_of("")).by_branch[""]
    assert [line_of(file) for file in plan.files()] == [None]
    assert [len(registry_lines(batch, "http://h/")) for batch in plan.batches()] == [0]
