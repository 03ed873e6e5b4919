"""What breaks a schema is told in sentences, all of it, with what was probably meant."""

import pytest
from jsonschema import Draft7Validator

from opendata_pkg.catalogue.schema_faults import schema_faults
from opendata_pkg.documents import DATA_PACKAGE_URL, internal_validator, profile_validator
from opendata_pkg.faults import Fault, json_path, suggest

PROFILE = profile_validator("https://opendata-pkg.invalid/schemas/1.0/morphology.json")
GOOD = {
    "$schema": "https://opendata-pkg.invalid/schemas/1.0/morphology.json",
    "name": "cells",
    "id": "urn:uuid:a5159406-6a74-5e0b-8f40-4fd3e25d87d1",
    "title": "Cells",
    "od:kind": "morphology",
    "od:branch": "Cells",
    "od:species": [{"id": "NCBITaxon:10116", "label": "Rattus norvegicus"}],
    "od:cellClasses": [{"label": "neuron"}],
    "resources": [{"name": "readme", "path": "README.md"}],
}


def said(document, validator=PROFILE):
    """Path, message and suggestion of each fault."""
    return [(json_path(fault.place), fault.message, fault.suggestion) for fault in schema_faults(document, validator)]


def test_a_good_descriptor_has_no_faults():
    """The document that the other tests break."""
    assert said(GOOD) == []


def test_a_misspelled_field_of_ours_is_told_with_what_was_meant():
    """`od:specie` is no field; `od:species` was meant, and is missing if it is required."""
    broken = {name.replace("od:species", "od:specie"): value for name, value in GOOD.items()}
    faults = said(broken)
    [(path, message, suggestion)] = [fault for fault in faults if "unknown" in fault[1]]
    assert (path, suggestion) == ('$["od:specie"]', "od:species")
    assert message.startswith('unknown field "od:specie"; known are od:')


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"title": ""}, "$.title", 'expected at least 1 letter, got ""'),
        ({"od:kind": "morphologie"}, '$["od:kind"]', 'expected "morphology", got "morphologie"'),
        ({"created": "yesterday"}, "$.created", 'expected a time such as 2024-01-01T00:00:00Z, got "yesterday"'),
        (
            {"od:species": [{"id": "NCBITaxon:rat", "label": "rat"}]},
            '$["od:species"][0].id',
            'expected a text of the form ^NCBITaxon:[1-9][0-9]*$ (NCBI Taxonomy id), got "NCBITaxon:rat"',
        ),
        ({"keywords": ["a", "a"]}, "$.keywords", 'expected each entry once, got "a" again'),
        ({"od:species": "rat"}, '$["od:species"]', 'expected a list, got "rat"'),
        ({"id": None}, "$.id", "expected a text, got null"),
    ],
)
def test_each_kind_of_fault_has_its_sentence(change, path, message):
    """What was expected, what was got, and where."""
    assert (path, message, None) in said(GOOD | change)


def test_all_faults_are_told_in_the_order_of_the_document():
    """Three things wrong are three faults."""
    faults = said(GOOD | {"name": "Upper Case", "title": 3, "od:species": []})
    assert [path for path, _, _ in faults] == ["$.name", "$.title", '$["od:species"]']


def test_a_missing_field_is_named():
    """Each field that is missing is one fault, told once."""
    document = {name: value for name, value in GOOD.items() if name not in {"title", "od:branch"}}
    assert said(document) == [
        ("$", 'expected the field "od:branch", which is missing', None),
        ("$", 'expected the field "title", which is missing', None),
    ]


def test_an_unknown_field_of_a_closed_object_is_told_with_what_was_meant():
    """As in a catalogue, where only known fields may stand."""
    document = {"format": 1, "id": "x", "epoch": "2024-01-01T00:00:00Z", "titel": "T"}
    [(path, message, suggestion)] = said(document, internal_validator("catalogue"))
    assert (path, suggestion) == ("$.titel", "title")
    assert message.startswith('unknown field "titel"; known are format, id')


def test_alternatives_are_told_as_the_one_that_was_nearly_met():
    """The official profile is full of alternatives: the message is not that none of them fits."""
    faults = said({"resources": [{"name": "a", "path": "../a"}]}, profile_validator(DATA_PACKAGE_URL))
    assert [path for path, _, _ in faults] == ["$.resources[0].path"]


@pytest.mark.parametrize(
    ("schema", "document", "message"),
    [
        ({"enum": ["red", "green"]}, "gren", 'expected one of red, green, got "gren"'),
        ({"maximum": 3}, 4, "expected at most 3, got 4"),
        ({"type": ["string", "null"]}, 4, "expected a text or null, got 4"),
        ({"not": {}}, 4, "4 should not be valid under {}"),
    ],
)
def test_other_schemas_have_sentences_too(schema, document, message):
    """What our own schemas do not use yet, or what jsonschema itself says best."""
    assert said(document, Draft7Validator(schema))[0][1] == message


def test_suggestions_are_words_that_look_alike():
    """Letters left out, swapped or in another case; nothing for words unlike all that are known."""
    assert suggest("od:specie", ["od:kind", "od:species"]) == "od:species"
    assert suggest("Mouse", ["mouse"]) == "mouse"
    assert suggest("zebra", ["od:kind", "od:species"]) is None
    assert suggest(3, ["3"]) is None


def test_a_fault_is_one_line():
    """File, line, path, message, what was meant, what to do."""
    fault = Fault(file="f", line=3, path="$.a", message="expected b, got c", suggestion="d", remedy="write it again")
    assert str(fault) == "f, line 3, at $.a: expected b, got c; did you mean d? write it again"
    assert fault.to_dict() == {
        "file": "f",
        "message": "expected b, got c",
        "path": "$.a",
        "line": 3,
        "suggestion": "d",
        "remedy": "write it again",
    }
