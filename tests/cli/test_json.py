"""docs/reference/json.md against what the commands print."""

import json
import re
import subprocess
from itertools import chain
from pathlib import Path

import pytest

from opendata_pkg.cli.examples import EXAMPLES
from opendata_pkg.cli.main import SECTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "json.md").read_text()
NAMES = ("neuron.swc", "a b.swc", "notes.txt", "Reconstructed_morphologies/cell.swc")
KINDS = {"text": str, "number": int | float, "boolean": bool, "object": dict, "null": None}

# What the examples do not show, after those of their command. The first words change what the command looks at.
MORE = {
    "scan": ["opendata scan s3://openbluebrain --out bucket.parquet"],
    "hash": [
        "opendata hash bucket.parquet --dry-run",
        "opendata hash bucket.parquet",
        "opendata hash snapshot.parquet --from digests.csv",
    ],
    "describe": ["opendata describe --check"],
    "validate": ["opendata validate bad.yaml"],
    "info": ["opendata info Experimental_Data:Reconstructed_morphologies", "opendata info bucket.parquet"],
    "pin": ["opendata pin Experimental_Data:neuron.swc --as neurons --update --yes"],
    "verify": [
        "echo x > elsewhere/Experimental_Data/neuron.swc; opendata verify elsewhere",
        "mv neurons/neuron.swc neurons/b; opendata verify neurons --against Experimental_Data --include '*.swc'",
        "opendata verify --store store",
        "opendata verify Experimental_Data",
    ],
    "diff": [
        """mv data/Unknown data/Known; rm data/Experimental_Data/notes.txt
        opendata scan data --base-url https://data.example.org/ --out other.parquet > /dev/null
        opendata diff snapshot.parquet other.parquet""",
        "opendata diff snapshot.parquet other.parquet --stat",
    ],
}
# What needs a server in trouble, two things at one path, or a reader who edits what sync brought.
TROUBLE = {
    "cite": {"[].DOI"},
    "diff": {"after.selections[]"},
    "fetch": {"failed[].path", "failed[].error"},
    "get": {"failed.*"},
    "hash": {"failed[].key", "failed[].reason", "failed[].is_conflict", "failed[].is_lost", "agreed.*"},
    "pin": {"folder"},
    "scan": {"prefixes[]"},
    "sync": {"removed[]", "left[]", "failed[].path", "failed[].error"},
    "describe": {"missing[]", "changed[]", "stale[]"},
    "validate": {"faults[].suggestion", "faults[].remedy", "faults[].column", "tables_not_shown_to_frictionless[]"},
    "build": {"left_out.*"},
    "info": {"formerly[]"},
}


def documented(command):
    """Field → the types that the page has for it."""
    section = PAGE.partition(f"\n## opendata {command}\n")[2].partition("\n## ")[0]
    found = {}
    for fields, kinds in re.findall(r"^\| (`.+?`) \| ([a-z ]+) \| .+ \|$", section, re.MULTILINE):
        for field in re.findall(r"`(.+?)`", fields):
            found.setdefault(field, set()).update(kinds.split(" or "))
    return found


def leaves(value, path=""):
    """Every value that is no object or list, and every empty one, with its path."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from leaves(one, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, f"{path}[]")
    else:
        yield path, value


def field_of(path, known):
    """The field of the page that a path is: itself, or the nearest of which it is below."""
    if path in known:
        return path
    below = [field for field in known if field.endswith(".*") and path.startswith(f"{field.removesuffix('*')}")]
    below += [field for field in known if field.endswith("[]") and path.startswith(f"{field}.")]
    return max(below, key=len, default=None)


def is_of(value, kinds):
    """Whether a value is of one of the page's types; a boolean is no number."""
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean") in kinds
    return any(isinstance(value, KINDS[kind]) for kind in kinds - {"null", "boolean"})


def test_every_command_has_a_section():
    """With a table, in the order of the commands."""
    assert re.findall(r"^## opendata (\w+)$", PAGE, re.MULTILINE) == [*chain.from_iterable(SECTIONS.values())]
    assert all(documented(command) for command in chain.from_iterable(SECTIONS.values()))


@pytest.mark.usefixtures("git_identity")
def test_every_field_is_documented_and_every_documented_field_is_there(tmp_path, static_server, s3_server, monkeypatch):
    """All that the examples and some other commands print, by name and type; and the reverse."""
    s3_server.make_bucket("openbluebrain-json")
    for folder in ("Experimental_Data/Reconstructed_morphologies", "Experimental_data", "Unknown"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "data" / "Experimental_Data" / name).write_text(name)
        key = f"Experimental_Data/{name}"
        s3_server.client().put_object(Bucket="openbluebrain-json", Key=key, Body=name.encode())
    (tmp_path / "data" / "Experimental_data" / "x").write_text("x")
    (tmp_path / "data" / "Unknown" / "y").write_text("why")
    (tmp_path / "digests.csv").write_text(f"key,sha256\nnone,{'0' * 64}\n")
    (tmp_path / "bad.yaml").write_text("format: 1\nid: x\n")
    base_url = static_server(tmp_path / "data") + "/"
    # `demo` takes minutes; its tests run it.
    wrong, unseen = [], {}
    for command in [name for name in EXAMPLES if name != "demo"]:
        known, seen = documented(command), set()
        for words in [*EXAMPLES[command], *MORE.get(command, [])]:
            line = f"{words.partition(' > registry')[0].partition(' > catalogue')[0]} --json"
            line = line.replace("https://data.example.org/", base_url)
            if "s3://openbluebrain" in line:
                line = line.replace("s3://openbluebrain", "s3://openbluebrain-json")
                line += f" --endpoint-url {s3_server.endpoint_url}"
            if (tmp_path / "store" / "index.json").exists():
                monkeypatch.setenv("OPENDATA_STORE", str(tmp_path / "store"))
            done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.stdout, f"{line}\n{done.stderr}"
            # A Data Package descriptor, or a catalogue of its own: other pages have them.
            if words == "opendata describe Experimental_Data":
                continue
            for path, value in leaves(json.loads(done.stdout)):
                at = re.sub(r"^(branches\[\]\.)+", "", path) if command == "tree" else path
                field = field_of(f"{at}.*" if value == {} else at, known)
                seen.add(field)
                # An empty object has no field that could be of a type.
                if field is None or not (value == {} or "object" in known[field] or is_of(value, known[field])):
                    wrong.append(f"{command}: {path} = {value!r}")
        unseen[command] = known.keys() - seen - TROUBLE.get(command, set()) - {"branches[]"}
    assert wrong == []
    assert {command: fields for command, fields in unseen.items() if fields} == {}
