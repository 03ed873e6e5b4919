"""The catalogue: the seed's tree is all there, what is not written follows by rule, and faults are told by line."""

import hashlib
import json
import re
import subprocess
import sys
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opendata_pkg.catalogue.branch import (
    NAMESPACE,
    Atlas,
    Evidence,
    Format,
    IonChannels,
    Related,
    Term,
    default_dataset_id,
    default_name,
    path_fault,
)
from opendata_pkg.catalogue.catalogue import (
    BrokenCatalogueError,
    Catalogue,
    Contributor,
    Ignored,
    License,
    Source,
    UnknownBranchError,
    shipped_catalogue,
)
from opendata_pkg.documents import InvalidDocumentError, NewerFormatError
from opendata_pkg.model import InputError, NotFoundError
from opendata_pkg.strict_yaml import MAX_DEPTH
from opendata_pkg.vocabulary import KINDS, MEDIA_TYPES

SEED = Path(__file__).parents[1] / "data" / "seed.md"
HEAD = "format: 1\nid: example\nepoch: 2024-01-01T00:00:00Z\n"


def parse(text, head=HEAD):
    """A catalogue of a few lines of YAML, after the three lines that each must have."""
    return Catalogue.parse((head + text).encode(), "c.yaml")


def seed_tree():
    """The paths of the seed's directory tree, in its order: numbered lines are the groups, indents are folders."""
    paths, folders = [], []
    # Not `splitlines`: one of the lines begins with a Unicode line separator.
    section = SEED.read_text(encoding="utf-8").split("# Directory Structure\n")[1].split("\n# ")[0]
    for line in section.split("\n"):
        if group := re.fullmatch(r"\W*\d\. (\S+)", line):
            folders = [group[1]]
        elif item := re.fullmatch(r"((?:  )*)\* (\S+)", line):
            folders[len(item[1]) // 2 + 1 :] = [item[2]]
        else:
            assert line.strip() == "", line
            continue
        paths.append("/".join(folders))
    return paths


@pytest.fixture(scope="module")
def catalogue():
    """The one that ships."""
    return shipped_catalogue()


# The shipped catalogue


def test_the_seed_has_173_branches():
    """The copy of the seed in the tests is whole, and no two of its lines mean one folder."""
    assert len(seed_tree()) == len(set(seed_tree())) == 173


@pytest.mark.parametrize("path", seed_tree())
def test_each_line_of_the_seed_is_a_branch(catalogue, path):
    """Names and nesting are exactly the seed's: the folder above is the dataset above."""
    branch = catalogue.branches[path]
    assert branch.path == path
    assert branch.parent == path.rpartition("/")[0]
    assert branch.mount_in_parent == path.rpartition("/")[2]


def test_what_the_seed_does_not_name_has_evidence(catalogue):
    """A branch is a line of the seed, or a listing or a command shows that the bucket has it; never both."""
    for path, branch in catalogue.branches.items():
        if path in {"", *seed_tree()}:
            assert branch.evidence is None
        else:
            assert branch.evidence.kind in {"listing", "command"}
            assert len(branch.evidence.source) > 10


def test_names_and_ids_are_written_down_and_follow_the_rule(catalogue):
    """Each branch states its name and uuid, so that neither depends on the code; they are what the rule gives."""
    written = catalogue.source_bytes.decode()
    for path, branch in catalogue.branches.items():
        assert branch.name == (default_name(path) if path else catalogue.id)
        assert branch.dataset_id == default_dataset_id(catalogue.id, path)
        assert f"name: {branch.name}\n" in written
        assert f"uuid: {branch.dataset_id}\n" in written
    assert len({branch.name for branch in catalogue.walk()}) == len(catalogue.branches)


def test_ids_never_change():
    """The namespace, the root's id and one other are pinned: datasets are known by them for ever."""
    assert str(NAMESPACE) == "c1959d1f-899d-5a58-b0cc-9e27ad178040"
    assert default_dataset_id("openbluebrain", "") == "a5159406-6a74-5e0b-8f40-4fd3e25d87d1"
    assert default_dataset_id("openbluebrain", "Experimental_Data") == "1f727d6d-b031-536e-ae99-c1ca670538c4"


def test_titles_tell_branches_apart(catalogue):
    """Each title is a person's words, and no two branches share one."""
    titles = [branch.title for branch in catalogue.walk()]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if "_" in title or title[0].islower()] == []


def test_every_branch_is_described(catalogue):
    """Each has a kind and a paragraph of its own, a sentence at least."""
    for branch in catalogue.walk():
        assert branch.kind in KINDS
        assert re.fullmatch(r"[A-Z].{30,}\.", branch.description), branch.path
    described = [branch.description for branch in catalogue.walk()]
    assert len(set(described)) == len(described)


def test_folders_that_name_a_species_or_a_region_say_which(catalogue):
    """What a folder's name states is stated in terms of ontologies; mice have the ids of their atlas, too."""
    for branch in catalogue.walk():
        folders = branch.path.split("/")
        species = {term.id for term in branch.species}
        regions = {term.id for term in branch.brain_regions}
        if "Mouse" in folders:
            assert species == {"NCBITaxon:10090"}
        if "Rat" in folders:
            assert species == {"NCBITaxon:10116"}
            assert not any(region.startswith("MBA:") for region in regions)
        for folder, region in (
            ("SSCx", "UBERON:0008930"),
            ("Amygdala", "UBERON:0001876"),
            ("Thalamus", "UBERON:0001897"),
        ):
            if folder in folders:
                assert region in regions
    cortex = catalogue.branches["Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex"]
    assert [term.id for term in cortex.brain_regions] == ["UBERON:0000956", "MBA:688"]
    assert [term.label for term in cortex.cell_classes] == ["neuron"]


def test_real_keys_find_their_branches(catalogue, capsys):
    """Of 916 keys known of the real bucket, hardly any belongs to the root: the tree fits the bucket."""
    lines = (SEED.parent / "openbluebrain-keys.tsv").read_text(encoding="utf-8").splitlines()[1:]
    keys = [line.split("\t")[0] for line in lines]
    places = Counter(place_of(catalogue, key) for key in keys)
    with capsys.disabled():
        shares = ", ".join(f"{place} {places[place] / len(keys):.1%}" for place in ("ignored", "root", "inner", "leaf"))
        sys.stdout.write(f"\n{len(keys)} real keys: {shares}\n")
    assert len(keys) == 916
    assert places["root"] <= 0.05 * len(keys)


def place_of(catalogue, key):
    """Where a key belongs: ignored, to the root, to a branch with children, or to one without."""
    if any(key.startswith(ignored.prefix) for ignored in catalogue.ignore):
        return "ignored"
    folder = key
    while folder := folder.rpartition("/")[0]:
        if folder in catalogue.branches:
            return "inner" if catalogue.branches[folder].children else "leaf"
    return "root"


def test_terms_reach_every_branch(catalogue):
    """The licence, who made the data and where they are listed are said once, for all."""
    for branch in catalogue.walk():
        assert [terms.name for terms in branch.licenses] == ["CC-BY-4.0"]
        assert [(maker.title, maker.roles) for maker in branch.contributors] == [
            ("Blue Brain Project, EPFL", ("creator", "rightsHolder"))
        ]
        assert [source.path for source in branch.sources] == ["https://registry.opendata.aws/bluebrain_opendata/"]


def test_what_is_no_data_is_ignored_with_a_reason(catalogue):
    """The staging area and the portals' web assets, nothing else."""
    assert [ignored.prefix for ignored in catalogue.ignore] == ["Portals/", "staging/"]
    assert all(len(ignored.reason) > 20 for ignored in catalogue.ignore)


# What a catalogue says


def test_a_catalogue_says_all_that_it_can():
    """Every field is read as it stands, and a branch states only what differs from those above."""
    found = parse(
        """
name: example-root
uuid: 00000000-0000-5000-8000-000000000001
title: An example
description: >
  Two lines
  of text.
store: https://example.org/store/
licenses: [{name: CC0-1.0, title: No rights reserved, path: https://example.org/cc0}]
contributors:
  - {title: A. Nother, givenName: A., familyName: Nother, organization: Example, path: https://orcid.org/0,
     email: a@example.org, roles: [creator, contact]}
sources: [{title: A registry, path: https://example.org/registry, version: "2024"}]
ignore:
  - {prefix: tmp/, reason: "Scratch\\n space"}
  - {prefix: .trash, reason: Deleted}
branches:
  Mouse:
    branches:
      Cortex: {sources: []}
      Cortex/Layer_1:
  Rat:
    name: rats
    uuid: 00000000-0000-5000-8000-000000000002
    title: Rats
    formerly: [Rattus, Other/Rats]
    licenses: [{path: https://example.org/terms}]
"""
    )
    assert found.id == "example"
    assert found.title == "An example"
    assert found.epoch == datetime(2024, 1, 1, tzinfo=UTC)
    assert found.store == "https://example.org/store/"
    assert found.ignore == (
        Ignored(prefix=".trash", reason="Deleted"),
        Ignored(prefix="tmp/", reason="Scratch space"),
    )
    assert found.sha256 == hashlib.sha256(found.source_bytes).hexdigest()
    assert list(found.branches) == ["", "Mouse", "Mouse/Cortex", "Mouse/Cortex/Layer_1", "Rat"]

    root, mouse, cortex, layer, rat = found.branches.values()
    assert (root.name, root.dataset_id) == ("example-root", "00000000-0000-5000-8000-000000000001")
    assert (root.parent, root.children, root.prefix, root.mount_in_parent) == (None, ("Mouse", "Rat"), "", "")
    assert root.description == "Two lines of text."
    assert root.contributors == (
        Contributor(
            title="A. Nother",
            given_name="A.",
            family_name="Nother",
            organization="Example",
            path="https://orcid.org/0",
            email="a@example.org",
            roles=("creator", "contact"),
        ),
    )
    assert mouse.licenses == (License(name="CC0-1.0", title="No rights reserved", path="https://example.org/cc0"),)
    assert mouse.sources == (Source(title="A registry", path="https://example.org/registry", version="2024"),)
    assert (mouse.description, mouse.title) == (None, "Mouse")
    assert (cortex.parent, cortex.children) == ("Mouse", ("Mouse/Cortex/Layer_1",))
    assert (layer.parent, layer.mount_in_parent, layer.prefix) == ("Mouse/Cortex", "Layer_1", "Mouse/Cortex/Layer_1/")
    assert (layer.title, layer.name) == ("Layer 1", "mouse.cortex.layer-1")
    assert cortex.sources == layer.sources == ()
    assert (rat.name, rat.dataset_id, rat.title) == ("rats", "00000000-0000-5000-8000-000000000002", "Rats")
    assert rat.formerly == ("Rattus", "Other/Rats")
    assert rat.licenses == (License(path="https://example.org/terms"),)
    assert rat.contributors == root.contributors


MOUSE = Term(id="NCBITaxon:10090", label="Mus musculus")


def test_what_is_said_once_holds_below():
    """A branch states what differs; a list takes the place of the inherited one, an empty one clears it."""
    found = parse(
        """
kinds: {satellite: Images of brains from space.}
media_types: {grib: application/wmo-grib, h5: application/x-hdf}
kind: collection
species: [{id: NCBITaxon:10090, label: Mus musculus}]
brain_regions: [{id: "UBERON:0000955", label: brain}, {id: "MBA:997", label: brain}]
cell_classes: [{label: neuron}, {id: "CL:0000129", label: microglia}]
formats: [swc, grib, h5]
keywords: [one, two]
related: [{relationType: IsDocumentedBy, id: "https://doi.org/10.1093/cercor/bhy339", title: A paper}]
atlas: {version: "1.10", resolution_um: 25}
branches:
  A:
    evidence: {kind: listing, source: a script}
    branches:
      B:
        kind: ion-channel
        ion_channels: [{family: Nav, genes: [SCN*A]}, {family: X}]
        atlas: {}
        cell_classes: []
        species: []
        formats: [nwb]
      C: {kind: satellite, keywords: []}
"""
    )
    root, a, b, c = found.branches.values()
    inherited = ("kind", "species", "brain_regions", "cell_classes", "formats", "keywords", "related", "atlas")
    assert all(getattr(a, field) == getattr(root, field) != () for field in inherited)
    assert (root.kind, root.species, root.keywords) == ("collection", (MOUSE,), ("one", "two"))
    assert root.cell_classes == (Term(label="neuron"), Term(id="CL:0000129", label="microglia"))
    assert root.formats == (
        Format(name="swc", media_type="application/swc"),
        Format(name="grib", media_type="application/wmo-grib"),
        Format(name="h5", media_type="application/x-hdf"),
    )
    paper = Related(relation_type="IsDocumentedBy", id="https://doi.org/10.1093/cercor/bhy339", title="A paper")
    assert root.related == b.related == (paper,)
    assert root.atlas == c.atlas == Atlas(version="1.10", resolution_um=25)
    assert a.evidence == Evidence(kind="listing", source="a script")
    assert root.evidence is b.evidence is None
    assert b.ion_channels == (IonChannels(family="Nav", genes=("SCN*A",)), IonChannels(family="X"))
    assert (b.atlas, b.cell_classes, b.species, b.kind) == (None, (), (), "ion-channel")
    assert b.formats == (Format(name="nwb", media_type="application/nwb"),)
    assert (c.kind, c.keywords, c.species) == ("satellite", (), (MOUSE,))


def test_three_lines_are_a_catalogue():
    """The root is there without being declared, by the catalogue's id."""
    found = parse("")
    assert [branch.name for branch in found.walk()] == ["example"]
    assert (found.title, found.store, found.ignore, found.root.licenses) == ("example", None, (), ())
    assert found.root.dataset_id == str(uuid.uuid5(NAMESPACE, "example/"))


def test_a_branch_nests_by_its_path_wherever_it_is_written():
    """A key of several folders declares none of those between, and belongs to the nearest that is declared."""
    found = parse("branches: {a/b/c: , a: {branches: {b-2: }, licenses: [{name: MIT}]}, a/b/c/d/e: }\n")
    assert list(found.branches) == ["", "a", "a/b-2", "a/b/c", "a/b/c/d/e"]
    assert [branch.path for branch in found.walk()] == ["", "a", "a/b-2", "a/b/c", "a/b/c/d/e"]
    assert found.branches["a"].children == ("a/b-2", "a/b/c")
    assert found.branches["a/b/c"].mount_in_parent == "b/c"
    assert found.branches["a/b/c/d/e"].parent == "a/b/c"
    assert found.branches["a/b/c/d/e"].licenses == (License(name="MIT"),)


def test_order_is_that_of_bytes():
    """Branches and children are in UTF-8 byte order whatever the order in the file, so no locale changes a commit."""
    found = parse("branches: {b: , é/1: , a_c: , B2: , a/b: , a-b: , \uff5a/2: , \U0001f600/3: }\n")
    order = ["B2", "a-b", "a/b", "a_c", "b", "é/1", "\uff5a/2", "\U0001f600/3"]
    assert (list(found.branches), found.root.children) == (["", *order], tuple(order))


def test_walk_can_start_anywhere():
    """Depth first, each before its children: `a/b-2` sorts between `a/b` and `a/b/c`, but is not below `a/b`."""
    found = parse("branches: {a: {branches: {b: {branches: {c: }}, b-2: }}, d: }\n")
    assert [branch.path for branch in found.walk()] == ["", "a", "a/b", "a/b/c", "a/b-2", "d"]
    assert [branch.path for branch in found.walk("a/b")] == ["a/b", "a/b/c"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Experimental_Data", "experimental-data"),
        ("Model_Data/NGV", "model-data.ngv"),
        ("QC Notebook-JOAO", "qc-notebook-joao"),
        ("Collab_UNIPV_D'Angelo", "collab-unipv-d-angelo"),
        ("a__b/EM__emodel=cADpyr+x", "a-b.em-emodel-cadpyr-x"),
        ("_x/Größe_", "x.gr-e"),
        ("v1.0/v1.10", "v1.0.v1.10"),
        ("αβ", ""),
    ],
)
def test_names_follow_from_paths(path, name):
    """Lower case, a dot for each slash, a hyphen for whatever no name can have."""
    assert default_name(path) == name


# Finding a branch


@pytest.fixture
def small():
    """Three branches, one of which has moved."""
    return parse("branches: {Mouse: {branches: {Cortex_new: {formerly: [Mouse/Cortex, Mus]}}}, Rat: }\n")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (".", ""),
        ("", ""),
        ("Mouse", "Mouse"),
        ("Mouse/Cortex_new/", "Mouse/Cortex_new"),
        ("Mouse/Cortex", "Mouse/Cortex_new"),
        ("Mus/", "Mouse/Cortex_new"),
    ],
)
def test_a_branch_is_found_by_its_paths(small, text, path):
    """Its path now, a path it once had, with a slash at the end or without; `.` is the root."""
    assert small.resolve(text).path == path


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            "mouse",
            "no branch 'mouse' in the catalogue example: did you mean Mouse? `opendata tree` shows them all",
        ),
        (
            "Cortex_New",
            "no branch 'Cortex_New' in the catalogue example: did you mean Mouse/Cortex_new? `opendata tree` shows them all",
        ),
        (
            "Mouse/Corttex_new",
            (
                "no branch 'Mouse/Corttex_new' in the catalogue example: did you mean Mouse/Cortex_new? "
                "`opendata tree` shows them all"
            ),
        ),
        (
            "mouse.cortex-new",
            (
                "no branch 'mouse.cortex-new' in the catalogue example: did you mean Mouse/Cortex_new? "
                "`opendata tree` shows them all"
            ),
        ),
        (
            "Mouse/Cortex_new/Layer_1",
            (
                "no branch 'Mouse/Cortex_new/Layer_1' in the catalogue example: did you mean Mouse/Cortex_new? "
                "`opendata tree` shows them all"
            ),
        ),
        (
            "Rat/Thalamus",
            "no branch 'Rat/Thalamus' in the catalogue example: did you mean Rat? `opendata tree` shows them all",
        ),
        ("exampel", "no branch 'exampel' in the catalogue example: did you mean .? `opendata tree` shows them all"),
        ("Zebrafish", "no branch 'Zebrafish' in the catalogue example: `opendata tree` shows them all"),
    ],
)
def test_who_asks_for_no_branch_is_told_which_may_be_meant(small, asked, sentence):
    """Spelled alike in any case, named so, ending alike, or the nearest folder on the way there."""
    with pytest.raises(UnknownBranchError) as caught:
        small.resolve(asked)
    assert str(caught.value) == sentence
    assert caught.value.exit_status == 4


# Faults


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        # the schema's, with the line added
        ("titel: X\n", "line 1: at $: Additional properties are not allowed ('titel' was unexpected)"),
        ("title: 2024\n", "line 4: at $.title: 2024 is not of type 'string'"),
        ("name: Neuro Data\n", "line 4: at $.name: 'Neuro Data' does not match '^[a-z0-9][a-z0-9.-]*$'"),
        ("store: somewhere\n", "line 4: at $.store: 'somewhere' is not a 'uri'"),
        ("branches: [a, b]\n", "line 4: at $.branches: ['a', 'b'] is not of type 'object'"),
        (
            "branches:\n  A:\n    branches:\n      a b:\n        uuid: 1-2\n",
            (
                "line 8: at $.branches.A.branches['a b'].uuid: '1-2' does not match "
                "'^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'"
            ),
        ),
        ("ignore:\n  - prefix: tmp/\n", "line 5: at $.ignore[0]: 'reason' is a required property"),
        ("ignore: [{prefix: '', reason: x}]\n", "line 4: at $.ignore[0].prefix: '' should be non-empty"),
        ("licenses: [{title: Free}]\n", "line 4: at $.licenses[0]: 'path' is a required property"),
        (
            "species: mouse\n",
            (
                "line 4: at $.species: 'mouse' is not of type 'array': a list takes the place of the inherited one, "
                "[] clears it"
            ),
        ),
        (
            "branches:\n  A:\n    keywords:\n",
            (
                "line 6: at $.branches.A.keywords: None is not of type 'array': a list takes the place of the "
                "inherited one, [] clears it"
            ),
        ),
        (
            "species:\n  - {id: Mouse, label: mouse}\n",
            "line 5: at $.species[0].id: 'Mouse' does not match '^NCBITaxon:[1-9][0-9]*$'",
        ),
        (
            "brain_regions: [{id: 'UBERON:955', label: brain}]\n",
            "line 4: at $.brain_regions[0].id: 'UBERON:955' does not match '^(UBERON:[0-9]{7}|MBA:[1-9][0-9]*)$'",
        ),
        (
            "branches: {A: {evidence: {kind: rumour, source: x}}}\n",
            "line 4: at $.branches.A.evidence.kind: 'rumour' is not one of ['listing', 'command', 'crawl']",
        ),
        # the vocabulary's
        (
            "branches:\n  A:\n    kind: morfology\n",
            (
                f"line 6: expected one of {', '.join(sorted(KINDS))}, got 'morfology' (did you mean morphology?); "
                "others are declared under `kinds:` at the top of the catalogue"
            ),
        ),
        (
            "formats:\n  - png\n  - grib\n",
            (
                f"line 6: expected one of {', '.join(sorted(MEDIA_TYPES))}, got 'grib'; "
                "others are declared under `media_types:` at the top of the catalogue"
            ),
        ),
        (
            "kind: morphology\n",
            "line 4: expected cell_classes of a branch of kind morphology, got none, not even inherited",
        ),
        (
            "kind: collection\nion_channels: [{family: Kv}]\nbranches:\n  A:\n    kind: imaging\n",
            ("line 8: a branch of kind imaging has no ion_channels: take it out, or state it empty if it is inherited"),
        ),
        (
            (
                "species: [{id: NCBITaxon:10116, label: rat}]\nbranches:\n  A:\n"
                "    brain_regions: [{id: 'MBA:997', label: brain}]\n"
            ),
            "line 7: MBA:997 is of the Allen Mouse Brain Atlas, but the species is rat: state UBERON ids",
        ),
        # the tree's own
        (
            "branches:\n  A:\n    branches:\n      B:\n  A/B:\n",
            "line 8: expected the branch 'A/B' once, got it again; it first stands on line 7",
        ),
        (
            "branches:\n  Single-cell:\n  Single_cell:\n",
            (
                "line 6: expected each branch to have a name of its own, got single-cell for both Single-cell and "
                "Single_cell: state another `name:` for the one that was never released"
            ),
        ),
        (
            "branches: {Example: }\n",
            (
                "line 4: expected each branch to have a name of its own, got example for both . and Example: "
                "state another `name:` for the one that was never released"
            ),
        ),
        (
            (
                "uuid: 00000000-0000-5000-8000-000000000001\nbranches:\n"
                "  A: {uuid: 00000000-0000-5000-8000-000000000001}\n"
            ),
            (
                "line 6: expected each branch to have a uuid of its own, got 00000000-0000-5000-8000-000000000001 for both "
                ". and A: state another `uuid:` for the one that was never released"
            ),
        ),
        (
            "branches: {αβ: }\n",
            "line 4: no name of 1 to 200 letters follows from 'αβ': state a `name:` for it",
        ),
        (
            "branches:\n  SSCX:\n  SSCx:\n",
            (
                "line 6: 'SSCX' and 'SSCx' are one folder to file systems that ignore case or Unicode form: "
                "declare only one of them; what the other holds then belongs to their parent"
            ),
        ),
        (
            "branches:\n  Mouse/a:\n  mouse/b:\n",
            (
                "line 6: 'Mouse' and 'mouse' are one folder to file systems that ignore case or Unicode form: "
                "declare only one of them; what the other holds then belongs to their parent"
            ),
        ),
        (
            'branches:\n  "caf\\u00e9":\n  "cafe\\u0301":\n',
            (
                "line 5: 'cafe\u0301' and 'caf\u00e9' are one folder to file systems that ignore case or Unicode form: "
                "declare only one of them; what the other holds then belongs to their parent"
            ),
        ),
        ("title: |\n  one\n  two\n", "line 4: expected a title of one line, got 'one\\ntwo'"),
        (
            "branches:\n  A: {formerly: [B]}\n  B:\n",
            "line 5: 'A' cannot formerly have been 'B': that is a branch now",
        ),
        (
            "branches:\n  A: {formerly: [C]}\n  B: {formerly: [C]}\n",
            "line 6: expected 'C' in one `formerly:`, got it in those of 'A' and 'B'",
        ),
        (
            "branches:\n  A:\n    formerly:\n      - B/\n",
            "line 7: 'B/' cannot have been a branch: expected names between single slashes, got '' as one of them",
        ),
        (
            "ignore:\n  - {prefix: staging/, reason: x}\nbranches:\n  staging/A:\n",
            "line 7: the branch 'staging/A' lies in the ignored prefix 'staging/': keep one of them",
        ),
        (
            "ignore:\n  - {prefix: A, reason: x}\nbranches:\n  A:\n",
            "line 7: the branch 'A' lies in the ignored prefix 'A': keep one of them",
        ),
        (
            "ignore:\n  - {prefix: A/b, reason: x}\n  - {prefix: A/, reason: y}\n",
            "line 6: 'A/' and 'A/b' ignore the same keys: keep the shorter of them",
        ),
    ],
)
def test_a_fault_is_told_with_its_line(text, sentence):
    """File, line, what was expected, what was got, what to do."""
    with pytest.raises(InputError) as caught:
        parse(text)
    assert str(caught.value) == f"c.yaml, {sentence}"


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "expected names between single slashes, got '' as one of them"),
        ("/A", "expected names between single slashes, got '' as one of them"),
        ("A/", "expected names between single slashes, got '' as one of them"),
        ("A//B", "expected names between single slashes, got '' as one of them"),
        ("A/../B", "expected names between single slashes, got '..' as one of them"),
        (".", "expected names between single slashes, got '.' as one of them"),
        ("A@1.0", "expected no `@`, `:` or backslash in it"),
        ("A:B", "expected no `@`, `:` or backslash in it"),
        ("A\\B", "expected no `@`, `:` or backslash in it"),
        ("A\nB", "expected no control characters in it"),
        ("A\u2028B", "expected no control characters in it"),
        ("-A", "expected no `-` at the beginning of '-A': git takes it for an option"),
        ("A" * 256, "expected at most 255 bytes between slashes"),
        ("/".join(["é" * 100] * 6), "expected a path of at most 1022 bytes"),
        (".git", "'.git' is a name kept for git, DataLad or opendata"),
        ("A/.GitModules", "'.GitModules' is a name kept for git, DataLad or opendata"),
        (".g\u200cit", "'.g\\u200cit' is a name kept for git, DataLad or opendata"),
        ("GIT~1", "'GIT~1' is a name kept for git, DataLad or opendata"),
        (".DataLad", "'.DataLad' is a name kept for git, DataLad or opendata"),
        ("_OpenData", "'_OpenData' is a name kept for git, DataLad or opendata"),
        ("A/datapackage.json", "'datapackage.json' is a name kept for git, DataLad or opendata"),
        ("readme.MD", "'readme.MD' is a name kept for git, DataLad or opendata"),
    ],
)
def test_a_path_that_no_branch_can_have_is_refused(key, fault):
    """A branch is a folder, a git submodule and a word on the command line: it must be good as each of them."""
    # YAML takes JSON's strings, but for the separators that are line ends to it.
    written = json.dumps(key, ensure_ascii=False).replace("\u2028", "\\u2028")
    with pytest.raises(BrokenCatalogueError) as caught:
        parse(f"branches:\n  {written}:\n")
    assert str(caught.value) == f"c.yaml, line 5: {key!r} cannot be a branch: {fault}"


@pytest.mark.parametrize(
    ("epoch", "sentence"),
    [
        ("yesterday", "c.yaml, line 1: at $.epoch: 'yesterday' is not a 'date-time'"),
        ("2024-01-01", "c.yaml, line 1: at $.epoch: '2024-01-01' is not a 'date-time'"),
        (
            "1969-12-31T23:59:59Z",
            (
                "c.yaml, line 1: expected a time in whole seconds, not before 1970, such as 2024-01-01T00:00:00Z, "
                "got '1969-12-31T23:59:59Z'"
            ),
        ),
        (
            "2024-01-01T00:00:00.5Z",
            (
                "c.yaml, line 1: expected a time in whole seconds, not before 1970, such as 2024-01-01T00:00:00Z, "
                "got '2024-01-01T00:00:00.5Z'"
            ),
        ),
    ],
)
def test_an_epoch_that_git_cannot_write_is_refused(epoch, sentence):
    """The epoch becomes commit times: seconds since 1970, in one zone."""
    with pytest.raises(InputError) as caught:
        parse("", head=f"epoch: {epoch}\nformat: 1\nid: example\n")
    assert str(caught.value) == sentence


def test_an_epoch_may_stand_in_any_zone():
    """It is kept in UTC."""
    found = parse("", head="format: 1\nid: example\nepoch: 2024-01-01T01:00:00+01:00\n")
    assert found.epoch.isoformat() == "2024-01-01T00:00:00+00:00"


def test_a_newer_format_is_told_so():
    """Who has an old opendata is told to upgrade it, not which fields are unknown to it."""
    with pytest.raises(NewerFormatError) as caught:
        parse("tomorrow: true\n", head="format: 2\nid: example\n")
    assert "c.yaml has format version 2, but this opendata reads up to 1" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"- a\n", b"just text\n"])
def test_what_is_no_catalogue_at_all_is_told_so(data):
    """A file of another kind is an input error on its first line."""
    with pytest.raises(InvalidDocumentError, match=r"^c\.yaml, line 1: at \$: .* is not of type 'object'$"):
        Catalogue.parse(data, "c.yaml")


def test_a_file_that_is_not_there_is_told_so(tmp_path):
    """With the path that was asked for, and the option to give another."""
    with pytest.raises(NotFoundError) as caught:
        Catalogue.load(tmp_path / "c.yaml")
    assert str(caught.value) == f"no catalogue at {tmp_path / 'c.yaml'}: name its YAML file with --catalogue FILE"


def test_nesting_as_deep_as_allowed_is_read():
    """The depth that YAML may have does not exhaust Python's stack on the way through the schema."""
    levels = MAX_DEPTH // 2
    text = "".join(f"{'  ' * (2 * level)}branches:\n{'  ' * (2 * level + 1)}b:\n" for level in range(levels))
    assert len(parse(text).branches) == levels + 1


def test_a_line_feed_in_quotes_gets_into_no_name():
    """`$` in a regular expression lets one pass."""
    found = parse('name: "a\\n"\nuuid: "00000000-0000-5000-8000-000000000001\\n"\n')
    assert (found.root.name, found.root.dataset_id) == ("a", "00000000-0000-5000-8000-000000000001")


# Properties


@given(st.text(max_size=30))
@example("Straße/ﬁ/İ")
@example("...")
def test_a_default_name_is_a_name_or_nothing(path):
    """Whatever the path, its name has only the letters that names have."""
    assert re.fullmatch(r"([a-z0-9][a-z0-9.-]*)?", default_name(path))


@given(st.lists(st.text(min_size=1, max_size=12), max_size=8, unique=True))
def test_a_catalogue_is_refused_or_keeps_its_promises(paths):
    """Names and ids are unique, every branch has a parent that holds it, and the order is that of bytes."""
    body = json.dumps(dict.fromkeys(paths), ensure_ascii=True)
    try:
        found = parse(f"branches: {body}\n")
    except InputError:
        return
    branches = found.branches
    assert sorted(branches, key=str.encode) == list(branches) == ["", *sorted(paths, key=str.encode)]
    assert len({branch.name for branch in branches.values()}) == len(branches)
    for branch in branches.values():
        if branch.parent is not None:
            assert branch.prefix == branches[branch.parent].prefix + branch.mount_in_parent + "/"
            assert branch.path in branches[branch.parent].children
        assert found.resolve(branch.path) is branch


def test_git_takes_every_folder_that_is_allowed(tmp_path):
    """Of many odd names, those that may be branches make a tree that `git fsck --strict` finds no fault with."""
    pieces = [".git", "git", ".", "..", "~1", " ", "\u200d", "%", "x", "modules", ":", "attributes", "'", '"', "é", "*"]
    names = sorted({a + b + c for a in pieces for b in ["", *pieces] for c in ["", *pieces]}, key=str.encode)
    allowed = [name for name in names if path_fault(name) is None]
    assert 1000 < len(allowed) < len(names) - 1000

    def run_git(*words, entries=b""):
        done = subprocess.run(["git", *words], cwd=tmp_path, input=entries, check=True, capture_output=True)
        return (done.stdout + done.stderr).decode().strip()

    run_git("init", "-q")
    entries = "".join(f"160000 commit {'1' * 40}\t{name}\0" for name in allowed).encode()
    tree = run_git("mktree", "-z", "--missing", entries=entries)
    assert run_git("fsck", "--strict", "--no-dangling", tree) == ""


def test_the_reference_page_shows_a_catalogue_that_works():
    """The example of docs/reference/catalogue.md has the branches and the ids that the page says."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "catalogue.md").read_text(encoding="utf-8")
    found = Catalogue.parse(page.split("```yaml\n")[1].split("```")[0].encode(), "the page")
    assert list(found.branches) == ["", "Recordings", "Recordings/Mouse", "Recordings/Rat/Cortex"]
    assert found.branches["Recordings/Rat/Cortex"].parent == "Recordings"
    assert str(NAMESPACE) in page
    assert default_name("Model_Data/NGV") in page
