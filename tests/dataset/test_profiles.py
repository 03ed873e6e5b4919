"""The profiles of descriptors: what they let pass, what they refuse and how that is said, and that they never change."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from opendata_pkg.catalogue.schema_faults import schema_faults
from opendata_pkg.documents import profile_urls, profile_validator, shipped
from opendata_pkg.faults import json_path
from opendata_pkg.vocabulary import DATA_PACKAGE_URL, KINDS, MEDIA_TYPES, PROFILES_URL, SPECIAL_FIELDS, profile_url

DATA = Path(__file__).parents[1] / "data" / "profiles"
PROFILES = {path.stem: json.loads(path.read_bytes()) for path in (shipped("schemas") / "profiles" / "1.0").glob("*")}
COUNTER_EXAMPLES = json.loads((DATA / "counter-examples.json").read_bytes())
PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "profiles.md").read_text(encoding="utf-8")
CAMEL = {
    "atlas": "od:atlas",
    "brain_regions": "od:brainRegions",
    "cell_classes": "od:cellClasses",
    "ion_channels": "od:ionChannels",
    "species": "od:species",
}


def example(name):
    """A descriptor that follows the profile of that name."""
    return json.loads((DATA / f"{name}.json").read_bytes())


def closed_names(profile):
    """The names of our own that a profile knows."""
    return set(profile["propertyNames"]["anyOf"][1]["enum"])


# What passes, and what does not


@pytest.mark.parametrize("name", sorted([*KINDS, "branch"]))
def test_examples_pass(name):
    """One descriptor of each kind follows its profile and the official one; other people's properties are free."""
    document = example(name)
    assert document["$schema"] == profile_url(name)
    for url in (document["$schema"], DATA_PACKAGE_URL):
        assert schema_faults(document, profile_validator(url)) == []
        assert schema_faults({**document, "other:thing": 1}, profile_validator(url)) == []


@pytest.mark.parametrize("case", COUNTER_EXAMPLES, ids=lambda case: case["name"])
def test_counter_examples_do_not(case):
    """An example with one thing wrong is refused, with exactly this message."""
    document = {**example(case["of"]), **case["set"]}
    for name in case["drop"]:
        del document[name]
    faults = schema_faults(document, profile_validator(document["$schema"]))
    meant = [f"; did you mean {fault.suggestion}?" if fault.suggestion else "" for fault in faults]
    says = [f"at {json_path(fault.place)}: {fault.message}{end}" for fault, end in zip(faults, meant, strict=True)]
    assert says == case["says"] != []


def test_every_kind_refuses_what_it_does_not_have():
    """The properties of other kinds, in each of them."""
    for name, kind in KINDS.items():
        for field in SPECIAL_FIELDS - kind.fields:
            document = {**example(name), CAMEL[field]: example("neuron-model").get(CAMEL[field], {"version": "1"})}
            (fault,) = schema_faults(document, profile_validator(document["$schema"]))
            assert fault.place == (CAMEL[field],)


# What they are


def test_ids_are_versioned_and_lead_nowhere():
    """The id is the address made of version and name; `.invalid` is nobody's, so that nobody can answer there."""
    assert PROFILES_URL.startswith("https://opendata-pkg.invalid/")
    for name, profile in PROFILES.items():
        assert profile["$id"] == f"{PROFILES_URL}{name}.json"
        assert profile["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert set(profile_urls()) == {DATA_PACKAGE_URL, *(p["$id"] for n, p in PROFILES.items() if n != "base")}


def test_no_profile_is_fetched(monkeypatch):
    """All references are resolved with the network out of reach, and an unknown profile is an error, not a download."""
    monkeypatch.setattr("socket.socket.connect", None)
    for url in profile_urls():
        assert list(profile_validator(url).iter_errors({})) != []
    with pytest.raises(KeyError):
        profile_validator("https://opendata-pkg.invalid/schemas/9.9/morphology.json")


def test_published_profiles_never_change():
    """Their bytes are pinned: whoever has to change one makes a new version, in a folder of its own."""
    pinned = dict(line.split("  ")[::-1] for line in (DATA / "1.0.sha256").read_text().splitlines())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (shipped("schemas") / "profiles" / "1.0").glob("*")
    }
    assert found == pinned


def test_the_official_profile_is_the_official_one():
    """As its README says it is."""
    folder = shipped("schemas") / "vendor"
    digest = hashlib.sha256((folder / "datapackage-2.0.json").read_bytes()).hexdigest()
    assert digest in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_field_is_described(name):
    """Each profile has a title and a description, and each field in it says what it is."""
    profile = PROFILES[name]
    assert {"title", "description"} <= set(profile)
    assert list(undescribed(profile, "$")) == []


def undescribed(schema, place):
    """Where a field or an entry of a list has no description."""
    for key, part in schema.get("properties", {}).items():
        if "description" not in part:
            yield f"{place}.{key}"
        yield from undescribed(part, f"{place}.{key}")
    if "items" in schema:
        if "description" not in schema["items"]:
            yield f"{place}[]"
        yield from undescribed(schema["items"], f"{place}[]")


def test_profiles_and_kinds_say_the_same():
    """One profile a kind, with the kind's fields, those that it must have, and its description."""
    assert set(PROFILES) == {*KINDS, "base", "branch"}
    general = closed_names(PROFILES["branch"])
    assert general == {name for name in PROFILES["base"]["properties"] if name.startswith("od:")}
    for name, kind in KINDS.items():
        profile = PROFILES[name]
        assert profile["properties"]["od:kind"]["const"] == name
        assert profile["properties"]["$schema"]["const"] == profile["$id"]
        assert profile["description"] == kind.description
        assert closed_names(profile) == general - {CAMEL[field] for field in SPECIAL_FIELDS - kind.fields}
        assert set(profile["required"]) == {"od:kind", *(CAMEL[field] for field in kind.required)}


def test_catalogue_and_profiles_take_the_same_terms():
    """Patterns of ids, words for relations and kinds of evidence are the same in both schemas."""
    catalogue = json.loads((shipped("schemas") / "internal" / "catalogue.json").read_bytes())["$defs"]
    base = PROFILES["base"]["properties"]
    for field, name in CAMEL.items():
        if field in {"species", "brain_regions", "cell_classes"}:
            ours, theirs = (each["items"]["properties"]["id"]["pattern"] for each in (catalogue[field], base[name]))
            assert ours == theirs
    relations = [
        each["items"]["properties"]["relationType"]["enum"] for each in (catalogue["related"], base["od:related"])
    ]
    assert relations[0] == relations[1]
    evidence = [each["properties"]["kind"]["enum"] for each in (catalogue["evidence"], base["od:evidence"])]
    assert evidence[0] == evidence[1]
    assert catalogue["kind"]["pattern"] == base["od:kind"]["pattern"]


def test_media_types_are_media_types():
    """Every format of the table is one that a descriptor may name."""
    format_of = PROFILES["base"]["properties"]["od:formats"]["items"]["properties"]
    for name, media_type in MEDIA_TYPES.items():
        assert re.search(format_of["format"]["pattern"], name)
        assert re.search(format_of["mediatype"]["pattern"], media_type)


def test_the_reference_page_lists_them_all():
    """Kinds with their fields, and formats with their media types, as the code has them."""

    def cell(fields):
        return ", ".join(f"`{CAMEL[field]}`" for field in sorted(fields))

    kinds = [
        f"| `{name}` | {kind.description} | {cell(kind.required)} | {cell(kind.fields - kind.required)} |"
        for name, kind in KINDS.items()
    ]
    assert re.findall(r"^\| `[a-z-]+` \| [A-Z].+", PAGE.split("## Properties")[0], re.MULTILINE) == kinds
    formats = [f"| `{name}` | `{media_type}` |" for name, media_type in MEDIA_TYPES.items()]
    assert re.findall(r"^\| `.+", PAGE.split("## Formats")[1], re.MULTILINE) == formats
