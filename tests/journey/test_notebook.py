"""The notebook of ``examples/``: every cell runs, in order, and shows what it promises."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat", reason="needs nbformat")


def test_the_notebook_is_kept_without_outputs_and_uses_the_python_api_alone(project: Path) -> None:
    notebook = nbformat.read(project / "examples/first_bundle.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    for cell in code:
        assert (cell.outputs, cell.execution_count) == ([], None)
        assert not any(line.startswith(("!", "%")) for line in cell.source.splitlines())
        assert "subprocess" not in cell.source


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_makes_checks_runs_and_shows_a_bundle(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "examples/digits", tmp_path / "digits", ignore=shutil.ignore_patterns("build"))
    notebook = nbformat.read(project / "examples/first_bundle.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [
        "".join(
            output.get("text") or output["data"].get("text/html") or output["data"]["text/plain"]
            for output in cell.outputs
            if output.output_type != "stream" or output.name == "stdout"
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    text = "\n".join(shown)
    assert "<table>" in shown[2]
    assert "{'rpi': {'cpu'}, 'mcu': {'mcu'}}" in text
    assert "bit-exact on" in text
    assert "seven" in text
    assert "SQNR" in text
    assert "digits for Microcontroller" in shown[-1]
    assert (tmp_path / "build/digits/mcu/manifest.json").is_file()
