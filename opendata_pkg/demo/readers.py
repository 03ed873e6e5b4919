"""The second half of the story: an author pins and cites, a reader restores, others look around and take a part."""

from __future__ import annotations

import json

from opendata_pkg.demo.folder import DATA, LOCK, PART, STORE
from opendata_pkg.demo.scene import BUCKET, CORTEX, DELETED, FIRST, OVERWRITTEN, PATCH_CLAMP, PLAIN, SECOND, Scene
from opendata_pkg.model import ObjectKey


def pin_and_restore(scene: Scene) -> None:
    """An author pins files of a version and cites them; a reader brings them, though the bucket has changed."""
    stage = scene.stage
    stage.title(f"An author pins what the paper uses, of {FIRST} and straight from the bucket, and cites it")
    stage.opendata("pin", f"{CORTEX}@{FIRST}", "--store", STORE, "--include", "*.swc", "--as", "neurons")
    endpoint = scene.server.endpoint_url
    bucket = f"s3://{BUCKET}/{PATCH_CLAMP}"
    stage.opendata("pin", bucket, "--endpoint-url", endpoint, "--include", "*.wcp", "--as", "recordings")
    stage.opendata("cite", "--lock", LOCK)
    stage.opendata("cite", "--lock", LOCK, "--format", "bibtex", lines=12)

    stage.title("A reader, with the lock and nothing else")
    stage.opendata("sync")
    verified = json.loads(stage.opendata("verify", "--json", lines=0))
    neurons = {key: body for key, body in scene.samples.first.items() if key.startswith(f"{CORTEX}/")}
    pinned = [key for key in neurons if key.endswith(".swc")]
    for key in pinned:
        stage.check_bytes(
            f"{key.rpartition('/')[2]} is as pinned", expected=neurons[key], path=stage.folder / DATA / key
        )
    stage.check("opendata verify finds nothing wrong", expected=[], got=verified["findings"])


def look_and_take(scene: Scene) -> None:
    """Find, compare, fetch and clone a part, with the commands of readers."""
    stage = scene.stage
    stage.title("With opendata at hand: find, compare, fetch, clone a part")
    stage.opendata("find", f"{CORTEX}@{SECOND}", "--store", STORE, "--include", "*.swc", "--limit", "3")
    stage.opendata("diff", f"{CORTEX}@{FIRST}", f"{CORTEX}@{SECOND}", "--store", STORE)
    old = stage.opendata("fetch", f"{PATCH_CLAMP}@{FIRST}:{DELETED}", "--store", STORE).strip()
    stage.check_bytes(
        "the deleted recording is fetched by its version",
        expected=scene.samples.first[ObjectKey(f"{PATCH_CLAMP}/{DELETED}")],
        path=stage.folder / old,
    )
    stage.opendata("clone", f"{CORTEX}@{FIRST}", PART, "--include", PLAIN, "--get", "--store", STORE)
    stage.check_bytes(
        "a neuron in a clone of one part",
        expected=scene.samples.first[ObjectKey(f"{CORTEX}/{PLAIN}")],
        path=stage.folder / PART / PLAIN,
    )
    with stage.inside(PART):
        here = stage.stock("git", "annex", "find", "--in", "here").split()
        stage.stock("git", "annex", "fsck", "--quiet", PLAIN)
    stage.check("git-annex knows that it is here, and nothing else", expected=[PLAIN], got=here)
    stage.check(
        "the overwritten neuron is among the links", expected=True, got=(stage.folder / PART / OVERWRITTEN).is_symlink()
    )
