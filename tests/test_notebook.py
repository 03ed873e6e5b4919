"""Progress in notebooks, in a real kernel; and silence everywhere else."""

import nbformat
import pytest
from nbclient import NotebookClient

from opendata_pkg.notebook import HERE

CELL = """
from opendata_pkg.notebook import HERE
HERE.message("a sentence")
HERE.start("fetching <b>", 4)
for _ in range(4):
    HERE.advance()
HERE.start("bytes", None, "bytes")
HERE.advance(5_000_000)
"""


def test_elsewhere_nothing_is_said(capsys):
    """A script's output is its own."""
    HERE.message("a sentence")
    HERE.start("fetching", 4)
    HERE.advance()
    HERE.finish()
    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore")  # the kernel's own, of other people's packages
def test_a_notebook_gets_bars(tmp_path):
    """Below the cell: what is done, of how much; a new task takes the place of the last one."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = notebook.cells[0].outputs
    shown = [output["data"]["text/html"] for output in outputs if "data" in output]
    assert [output["text"] for output in outputs if output["output_type"] == "stream"] == ["a sentence\n"]
    assert shown == ["", "<div>bytes 5 MB</div>"]
