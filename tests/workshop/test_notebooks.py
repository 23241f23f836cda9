"""The two notebooks of the workshop with nobody there, run by the fixtures that users have for theirs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from lexoffice_nb.workshop.checks import NUMBERS
from lexoffice_nb.workshop.workshop import Solution

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbformat import NotebookNode

    from lexoffice_nb.testing import NotebookRunner

pytest_plugins = ["lexoffice_nb.testing"]
pytestmark = pytest.mark.timeout(240)

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSON = NOTEBOOKS / "10_pkce_step_by_step.ipynb"
EXERCISES = NOTEBOOKS / "11_attack_and_defend.ipynb"
TO_WRITE_IN = range(2, 11)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def with_cells(folder: Path, source: Callable[[int], str]) -> Path:
    """The exercises, with something in the cells that a learner writes in."""
    notebook = read(EXERCISES)
    cells = {cell.id: cell for cell in notebook.cells}
    for number in TO_WRITE_IN:
        cells[f"attack-{number:02}"].source = source(number)
    path = folder / "exercises.ipynb"
    nbformat.write(notebook, path)
    return path


def test_the_lesson_runs_from_top_to_bottom_and_ends_with_the_diagram_of_the_sign_in(
    lexoffice_notebook: NotebookRunner,
) -> None:
    run = lexoffice_notebook(LESSON)
    assert "The lesson on PKCE" in run.cells[0]
    assert run.cells[1] == "'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'"  # RFC 7636 appendix B
    assert "code_challenge_method  S256" in run.text
    assert "StateMismatch at the stage callback" in run.text
    assert "CallbackError at the stage callback:\nThis answer belongs to the attempt" in run.text
    assert "Muster & Söhne GmbH" in run.text
    assert run.cells[-2] == "[]"
    shown = [output.data for output in run.notebook.cells[-2].outputs]
    assert any("<svg" in each.get("text/html", "") for each in shown)
    assert "/connect/token" in run.cells[-1]


def test_the_exercises_run_from_top_to_bottom_as_they_are_and_say_what_is_missing(
    lexoffice_notebook: NotebookRunner,
) -> None:
    run = lexoffice_notebook(EXERCISES)
    assert run.text.count("Solved:") == 1, "the first one is worked through"
    assert run.text.count("Still missing:") >= len(TO_WRITE_IN)
    assert run.cells[-1].count("defence off: done, defence on: done") == 1


def test_the_exercises_run_also_where_the_cells_to_write_in_are_quite_empty(
    lexoffice_notebook: NotebookRunner, tmp_path: Path
) -> None:
    run = lexoffice_notebook(with_cells(tmp_path, lambda _: ""))
    assert run.cells[-1].count("defence off: done, defence on: done") == 1


def test_with_the_model_solutions_in_its_cells_the_notebook_says_that_all_ten_are_solved(
    lexoffice_notebook: NotebookRunner, tmp_path: Path
) -> None:
    path = with_cells(tmp_path, lambda number: f"{Solution(number).code}\n\nattack(e)")
    run = lexoffice_notebook(path, seconds=90)
    assert run.text.count("Solved:") == len(NUMBERS)
    assert run.cells[-1].count("defence off: done, defence on: done") == len(NUMBERS)


@pytest.mark.parametrize("path", [LESSON, EXERCISES], ids=lambda path: path.name)
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("path", [LESSON, EXERCISES], ids=lambda path: path.name)
def test_its_links_lead_to_files_of_the_project(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for link in re.findall(r"\]\(([^)#]+)\)", cell.source):
                assert link.startswith("https://") or (path.parent / link).exists(), link
