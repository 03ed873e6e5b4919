"""The examples of `--help`, run as they are written."""

import subprocess
from itertools import chain

import pytest

from opendata_pkg.cli.examples import EXAMPLES
from opendata_pkg.cli.main import SECTIONS

NAMES = ("neuron.swc", "a b.swc", "notes.txt", "Reconstructed_morphologies/cell.swc")


@pytest.mark.usefixtures("git_identity")
def test_every_example_runs_as_written(tmp_path, static_server, s3_server, monkeypatch):
    """One after the other in one folder, with a bucket and a web server of this machine in place of the far ones.

    The demo's are run by the tests of the demo: they take minutes.
    """
    s3_server.make_bucket("openbluebrain-examples")
    client = s3_server.client()
    (tmp_path / "data" / "Experimental_Data" / "Reconstructed_morphologies").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "data" / "Experimental_Data" / name).write_text(name)
        client.put_object(Bucket="openbluebrain-examples", Key=f"Experimental_Data/{name}", Body=name.encode())
    base_url = static_server(tmp_path / "data") + "/"
    for example in chain.from_iterable(examples for name, examples in EXAMPLES.items() if name != "demo"):
        command = example.replace("https://data.example.org/", base_url)
        if "s3://openbluebrain" in command:
            command = command.replace("s3://openbluebrain", "s3://openbluebrain-examples")
            command += f" --endpoint-url {s3_server.endpoint_url}"
        if (tmp_path / "store" / "index.json").exists():
            monkeypatch.setenv("OPENDATA_STORE", str(tmp_path / "store"))
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        # What differs is no failure of `drift`.
        assert done.returncode in ({0, 1} if " drift " in command else {0}), f"{command}\n{done.stderr}"
    assert (tmp_path / "my-clone" / "neuron.swc").read_text() == "neuron.swc"
    assert (tmp_path / "neurons" / "a b.swc").read_text() == "a b.swc"


@pytest.mark.parametrize("command", [*chain.from_iterable(SECTIONS.values())])
def test_every_help_has_an_example(command, run_opendata):
    """One or two, whole lines, also in a narrow terminal; each is of the command."""
    assert 1 <= len(EXAMPLES[command]) <= 2
    shown = run_opendata(command, "--help", env={"COLUMNS": "60"}).stdout
    _, _, examples = shown.partition("\nExamples:\n")
    assert examples == "".join(f"  {example}\n" for example in EXAMPLES[command])
    assert all(example.startswith(f"opendata {command}") for example in EXAMPLES[command])
