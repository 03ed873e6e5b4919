"""Every command of README.md and of the how-to pages is run, as it stands, on the demo's bucket and store.

A fenced block that is marked `sh` is run, here or by a test of that page's own; what cannot be (placeholders, output) is
not marked so. tests/test_docs.py looks at the options of all of them.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.s3, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
# What a page takes for granted, as a person would have made it.
PIN = "opendata pin Experimental_Data@2026.1.0 --include '*.swc'"
PAGES = {
    "README.md": "",
    "docs/how-to/clone-a-part.md": "",
    "docs/how-to/compare-versions.md": "",
    "docs/how-to/fetch-files.md": "opendata scan s3://openbluebrain --out bucket.parquet",
    "docs/how-to/find-files.md": "",
    "docs/how-to/keep-a-store.md": "",
    "docs/how-to/on-a-cluster.md": PIN,
    "docs/how-to/proxies-and-offline.md": "",
    "docs/how-to/read-with-stock-tools.md": "",
    "docs/how-to/verify-data.md": (
        "opendata scan s3://openbluebrain/Experimental_Data/Reconstructed_morphologies --out snapshot.parquet\n"
        "opendata hash snapshot.parquet\n"
        "opendata fetch s3://openbluebrain/Experimental_Data/Reconstructed_morphologies --to /archive/neurons\n"
        f"mkdir paper here && cd paper && {PIN} && opendata sync && cp -r . ../here && cp -r data ../scratch\n"
        "cd ../here && cp ../snapshot.* ."
    ),
}
# Pages whose other blocks are run by a test of their own.
ELSEWHERE = {"another-bucket.md", "cite.md", "cli.md", "pin-data.md", "publish-a-bucket.md"}


def blocks_of(page):
    """The blocks of a page that are marked to be run."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def test_every_page_with_commands_is_run():
    """A new page with a block to run is in the table above, or has a test of its own."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = {str(page.relative_to(ROOT)) for page in pages if blocks_of(page) and page.name not in ELSEWHERE}
    assert found == PAGES.keys()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page_work(page, served, tmp_path, git_identity, monkeypatch):
    """In order, in one shell, with the demo's names for what the page calls otherwise; each block in the first folder."""
    names = {
        "https://data.example.org/store": served["store"].rstrip("/"),
        "STORE/git/NAME": served["store"] + "git/openbluebrain",
        "--store STORE": f"--store {served['store']}",
        "--against s3://openbluebrain": f"--endpoint-url {served['endpoint_url']} --against {served['source']}",
        "s3://openbluebrain": f"--endpoint-url {served['endpoint_url']} {served['source']}",
        "/shared/project": str(tmp_path / "shared"),
        "/scratch/data": "../scratch",
        "/archive": str(tmp_path / "archive"),
        # The bucket does differ.
        "drift 2026-02.parquet --store /srv/store": f"drift 2026-02.parquet --store {tmp_path / 'store'} || test $? -eq 1",
        "/srv/store": str(tmp_path / "store"),
        "s3://BUCKET": f"--endpoint-url {served['endpoint_url']} {served['source']}",
        "2025.1.0": served["versions"][0],
        # What the bucket has now is the last version.
        "morphologies@2026.1.0 --store": f"morphologies@{served['versions'][-1]} --store",
    }
    commands = "\n".join([PAGES[page], "start=$PWD", *(f'cd "$start"\n{block}' for block in blocks_of(page))])
    if "/srv/store" in commands:
        # Of its own: some pages release into it.
        shutil.copytree(served["folder"] / "store", tmp_path / "store")
    for name, here in names.items():
        commands = commands.replace(name, here)
    # git-annex refuses servers on loopback until it is told of them.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "annex.security.allowed-ip-addresses")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "127.0.0.1")
    environment = {**os.environ, "OPENDATA_STORE": served["store"]}
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{commands}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
