"""The second notebook with nobody there: from top to bottom, as nbclient runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from lexoffice_nb.sandbox import process
from tests.notebook.test_headless import run

if TYPE_CHECKING:
    from nbformat import NotebookNode

SECOND_NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_explore_invoices.ipynb"


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.usefixtures("as_demo")
def test_the_second_notebook_answers_from_top_to_bottom_with_a_sandbox_that_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    notebook = nbformat.read(SECOND_NOTEBOOK, as_version=4)
    try:
        shown = run(notebook, tmp_path)
    finally:
        process.stop()
    for said in ("Open items", "Revenue", "VAT on sales", "Customers with the most revenue", "not encrypted"):
        assert said in shown
    pictures = [
        output
        for cell in code_of(notebook)
        for output in cell.outputs
        if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    assert len(pictures) == 3
    # For places that draw nothing by themselves: a page of GitHub, or of nbconvert.
    assert all("image/svg+xml" in picture["data"] for picture in pictures)
    answers = [cell for cell in code_of(notebook) if any("text/html" in o.get("data", {}) for o in cell.outputs)]
    assert len(answers) >= 6


def test_the_second_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(SECOND_NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [(cell.outputs, cell.execution_count) for cell in code_of(notebook)] == [([], None)] * len(code_of(notebook))
    assert "widgets" not in notebook.metadata
