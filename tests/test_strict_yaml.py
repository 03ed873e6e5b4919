"""YAML without surprises: what a plain value means, where each stands, and what is refused."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from opendata_pkg import strict_yaml
from opendata_pkg.strict_yaml import MAX_DEPTH, BrokenYamlError, load_yaml

# What JSON and YAML both hold; line and paragraph separators are line ends to YAML 1.1, but not in what yaml writes.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_what_yaml_writes_reads_back(value):
    """Quoted by PyYAML's own writer, any value comes back as it was."""
    written = yaml.safe_dump(value, allow_unicode=True, default_style='"' if isinstance(value, str) else None)
    # PyYAML writes the whole numbers and constants of values plainly, and quotes the strings that look like them.
    assert load_yaml(written.encode(), "f").value == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("12:30:45", "12:30:45"),
        ("0x1f", "0x1f"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("No", "No"),
        ("on", "on"),
        (".inf", ".inf"),
        ("9" * 19, "9" * 19),
        ("-12", -12),
        ("0", 0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|-\n  7", "7"),
    ],
)
def test_plain_values_mean_what_stands_there(written, value):
    """Only true, false, null and whole numbers are more than text."""
    read = load_yaml(f"a: {written}\n".encode(), "f").value["a"]
    assert (read, type(read)) == (value, type(value))


def test_keys_are_always_text():
    """A folder named `No`, `1` or `null` keeps its name."""
    data = b"{No: a, 1: b, null: c, true: d, 2024-01-01: e, 1.0: f}"
    assert list(load_yaml(data, "f").value) == ["No", "1", "null", "true", "2024-01-01", "1.0"]


def test_each_part_knows_its_line():
    """Lines count from 1, and a value stands where its key does."""
    document = load_yaml(b"# note\na:\n  b: >-\n    text\n  c:\n    - x\n    - y: 1\n", "f")
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 5,
        ("a", "c", 0): 6,
        ("a", "c", 1): 7,
        ("a", "c", 1, "y"): 7,
    }


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a: 1\nb: 2\n a: 3\n", "f, line 3, column 3: expected YAML: mapping values are not allowed in this context"),
        (b"a: [1, 2\n", "f, line 2, column 1: expected YAML: did not find expected ',' or ']'"),
        (b"a:\n\t- 1\n", "f, line 2, column 1: expected YAML: found character that cannot start any token"),
        (
            b"a: 1\nb: 2\na: 3\n",
            "f, line 3, column 1: expected each key once, got 'a' again; it first stands on line 1",
        ),
        (
            b"a: &x [1]\nb: *x\n",
            "f, line 1, column 4: anchors and aliases are refused, got &x: write the value out where it belongs",
        ),
        (
            b"a: 1\nb: *x\n",
            "f, line 2, column 4: anchors and aliases are refused, got *x: write the value out where it belongs",
        ),
        (
            b"? *x\n: 1\n",
            "f, line 1, column 3: anchors and aliases are refused, got *x: write the value out where it belongs",
        ),
        (
            b"a: !!python/name:os.system x\n",
            "f, line 1, column 4: tags are refused, got tag:yaml.org,2002:python/name:os.system: write the plain value",
        ),
        (b"a: 1\n---\nb: 2\n", "f, line 2, column 1: expected one document, got a second one: take out the `---`"),
        (b"? [a]\n: 1\n", "f, line 1, column 3: expected a word as key, got a list or a mapping"),
        (b"a: caf\xe9\n", "f, line 1, column 7: expected UTF-8, got the byte 0xe9: save the file as UTF-8"),
        (
            b"a:\n" + b"".join(b" " * depth + b"- \n" for depth in range(1, MAX_DEPTH + 1)),
            (
                f"f, line {MAX_DEPTH + 1}, column {MAX_DEPTH + 2}: "
                f"expected at most {MAX_DEPTH} levels inside each other, got more"
            ),
        ),
    ],
)
def test_what_is_refused_is_told_with_its_place(data, sentence):
    """Line, column, what was expected and what to do."""
    with pytest.raises(BrokenYamlError) as caught:
        load_yaml(data, "f")
    assert str(caught.value) == sentence
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("data", [b"a: \x00", b"a: \x07\n", b'a: "\\uD800"\n'])
def test_characters_that_no_text_has_are_refused(data):
    """Control characters and lone surrogates do not get in, be it by an escape."""
    with pytest.raises(BrokenYamlError, match=r"^f(, line 1, column \d+)?: expected YAML: "):
        load_yaml(data, "f")


def test_an_empty_file_is_nothing():
    """No document and an empty one are both None: what asks for more says so itself."""
    assert [load_yaml(data, "f").value for data in (b"", b"# only a note\n", b"---\n")] == [None, None, None]


def test_a_byte_order_mark_is_no_text():
    """Editors on Windows write one."""
    assert load_yaml(b"\xef\xbb\xbfa: 1\r\n", "f").value == {"a": 1}


def test_yaml_without_libyaml_reads_the_same(monkeypatch):
    """PyYAML's own parser, where it was built without the fast one, gives the same values and lines."""
    data = b"a: 1\nb: [x, 'No', {c: ~}]\nd: |\n  text\n"
    fast = load_yaml(data, "f")
    monkeypatch.setattr(strict_yaml, "_LOADER", yaml.SafeLoader)
    assert load_yaml(data, "f") == fast
