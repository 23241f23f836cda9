"""Notebooks that run with nobody there: nbclient, as papermill and nbconvert use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from lexoffice_nb.sandbox import process

if TYPE_CHECKING:
    from lexoffice_nb.sandbox import Sandbox

FIRST_NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_login.ipynb"
CELLS = ("%load_ext lexoffice_nb\n%lexoffice_login", "print(lexoffice.get('/v1/profile').json()['companyName'])")


def run(notebook: nbformat.NotebookNode, folder: Path) -> str:
    """Runs a notebook; gives all that it shows, as plain text."""
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": folder}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def small(*cells: str) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_code_cell(cell) for cell in cells])


@pytest.mark.usefixtures("as_demo", "box")
def test_the_scripted_person_signs_in_over_http(tmp_path: Path) -> None:
    shown = run(small(*CELLS), tmp_path)
    assert "Signed in: Muster & Söhne GmbH at Sandbox on this machine" in shown
    assert shown.endswith("Muster & Söhne GmbH\n")


def test_a_key_of_the_environment_signs_in(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = box.make_api_key()
    monkeypatch.setenv("LEXOFFICE_API_KEY", key)
    notebook = small(*CELLS)
    assert run(notebook, tmp_path).endswith("Muster & Söhne GmbH\n")
    assert key not in nbformat.writes(notebook)


@pytest.mark.usefixtures("box")
def test_with_nothing_set_it_fails_at_once_and_says_what_to_set(tmp_path: Path) -> None:
    notebook = small("%load_ext lexoffice_nb", "import time; begin = time.time()", "%lexoffice_login")
    began = time.monotonic()
    with pytest.raises(CellExecutionError) as caught:
        run(notebook, tmp_path)
    assert time.monotonic() - began < 5
    for name in ("Set LEXOFFICE_API_KEY", "LEXOFFICE_PROVIDER", "LEXOFFICE_SANDBOX_PERSON=demo."):
        assert name in str(caught.value)
    assert len(notebook.cells[2].outputs[0].traceback) == 2


def test_a_wrong_key_fails_and_is_named(tmp_path: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXOFFICE_API_KEY", "not-a-key-of-anybody")
    with pytest.raises(CellExecutionError, match="does not know this API key"):
        run(small(*CELLS), tmp_path)


@pytest.mark.usefixtures("as_demo", "box")
def test_papermill_runs_a_notebook_that_signs_in(tmp_path: Path) -> None:
    nbformat.write(small(*CELLS), tmp_path / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--kernel", "python3", "in.ipynb", "out.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "Muster & Söhne GmbH" in (tmp_path / "out.ipynb").read_text()


@pytest.mark.usefixtures("as_demo")
def test_the_first_notebook_runs_from_top_to_bottom_with_a_sandbox_that_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    notebook = nbformat.read(FIRST_NOTEBOOK, as_version=4)
    try:
        shown = run(notebook, tmp_path)
        address = process.find()
        assert address is not None
        assert address.pid != os.getpid()
    finally:
        process.stop()
    assert "Muster & Söhne GmbH" in shown
    assert "EUR together" in shown
    assert "the provider has revoked the tokens" in shown


def test_the_first_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(FIRST_NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
    assert "widgets" not in notebook.metadata
