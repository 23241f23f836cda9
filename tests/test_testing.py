"""`lexoffice_nb.testing`, as its users have it: test files of their own, run by a pytest of their own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.workshop.workshop import Solution

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.testing import Person

pytest_plugins = ["pytester", "lexoffice_nb.testing"]  # so it is imported below, where it is needed: pytest is first

ROOT = Path(__file__).parents[1]
PLUGIN = 'pytest_plugins = ["lexoffice_nb.testing"]'
LOGIN = "%load_ext lexoffice_nb\n%lexoffice_login"


@pytest.fixture
def user(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Runs a user's test file, in a process of its own, whose environment points to things that must not be used."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("LEXOFFICE_API_KEY", "the-key-of-the-person")
    monkeypatch.setenv("LEXOFFICE_PROVIDER", "lexware")
    for name in ("DATA", "CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(pytester.path / "persons-own" / name.lower()))
    pytester.makeconftest(PLUGIN)

    def run(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_mine=source)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *options, timeout=100)

    return run


def written(folder: Path, *cells: str) -> Path:
    path = folder / "mine.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    return path


def test_a_users_tests_pass_and_leave_nothing_of_theirs_touched(
    user: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = user(
        """
        import os, socket
        from urllib.parse import parse_qs, urlsplit

        import pytest

        import lexoffice_nb
        from lexoffice_nb import LexofficeLogin, Provider
        from lexoffice_nb.errors import CallbackError
        from lexoffice_nb.sandbox import process
        from lexoffice_nb.testing import sign_in

        seen = {}

        def test_the_session_is_signed_in(lexoffice_session, lexoffice_sandbox):
            assert lexoffice_session.profile().companyName == "Muster & Söhne GmbH"
            assert "invoice.read" in lexoffice_session.tokens.scope
            assert [each.path for each in lexoffice_sandbox.requests if each.grant_type] == ["/connect/token"]
            seen["port"] = lexoffice_sandbox.port

        def test_the_sandbox_of_the_test_before_is_gone():
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", seen["port"]), timeout=2).close()
            assert os.environ["LEXOFFICE_API_KEY"] == "the-key-of-the-person"
            assert os.environ["HTTP_PROXY"]

        def test_the_person_allows_or_refuses_as_whom_you_like(lexoffice_sandbox, lexoffice_person):
            login = LexofficeLogin("lexoffice-nb", "http://127.0.0.1:51234/callback", "openid profile",
                                   Provider.discover(lexoffice_sandbox.url))
            refused = lexoffice_person(login.get_login_url(), allow=False)
            assert "access_denied" in refused.reveal()
            with pytest.raises(CallbackError):
                login.handle_callback(refused)
            tokens = login.handle_callback(lexoffice_person(login.get_login_url(), person="kanzlei"))
            assert tokens.claims["name"] != ""
            with sign_in(lexoffice_sandbox, "kanzlei") as other:
                assert other.profile().companyName != "Muster & Söhne GmbH"

        def test_a_script_of_ones_own_finds_the_sandbox(lexoffice_sandbox, monkeypatch):
            monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", "demo")
            assert process.find().url == lexoffice_sandbox.url
            session = lexoffice_nb.login()
            assert session.profile().companyName == "Muster & Söhne GmbH"
            session.logout()

        def test_every_folder_is_the_tests_own(lexoffice_home):
            for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "IPYTHONDIR"):
                assert os.environ[name].startswith(str(lexoffice_home))

        def test_what_goes_wrong_on_demand(lexoffice_sandbox, lexoffice_session):
            lexoffice_sandbox.revoke_everything()
            with pytest.raises(lexoffice_nb.errors.LexofficeError):
                lexoffice_session.profile()
        """
    )
    result.assert_outcomes(passed=6)
    assert not (pytester.path / "persons-own").exists()


def test_a_users_notebook_runs_from_top_to_bottom_against_the_tests_own_sandbox(
    user: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    path = written(
        pytester.path,
        LOGIN,
        "print(lexoffice.profile().companyName)",
        "open('beside.txt', 'w').write('x')",
        "import os; sorted(name for name in os.environ if name.startswith('LEXOFFICE'))",
        "%lexoffice_logout",
    )
    before = path.read_bytes()
    result = user(
        """
        from lexoffice_nb.testing import assert_no_secrets

        def test_mine(lexoffice_notebook, lexoffice_sandbox):
            run = lexoffice_notebook("mine.ipynb")
            assert "Signed in: Muster & Söhne GmbH" in run.cells[0]
            assert run.cells[1] == "Muster & Söhne GmbH"
            assert run.cells[3] == "['LEXOFFICE_SANDBOX_PERSON']"
            assert "revoked" in run.text
            assert "/v1/profile" in [each.path for each in lexoffice_sandbox.requests]
            assert_no_secrets(run)

        def test_as_somebody_else(lexoffice_notebook):
            assert "Muster" not in lexoffice_notebook("mine.ipynb", person="kanzlei").cells[1]
        """
    )
    result.assert_outcomes(passed=2)
    assert path.read_bytes() == before
    assert running_below(pytester.path) == []
    assert not (pytester.path / "beside.txt").exists()
    assert not (pytester.path / "persons-own").exists()


def test_a_notebook_that_fails_is_named_with_its_cell_and_its_error(
    user: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    written(pytester.path, "fine = 1", "fine + missing")
    written(pytester.path, "fine = 1", "fine + missing").rename(pytester.path / "wrong.ipynb")
    written(pytester.path, "import time", "time.sleep(60)").rename(pytester.path / "slow.ipynb")
    written(pytester.path, LOGIN).rename(pytester.path / "nobody.ipynb")
    result = user(
        """
        def test_wrong(lexoffice_notebook):
            lexoffice_notebook("wrong.ipynb")

        def test_slow(lexoffice_notebook):
            lexoffice_notebook("slow.ipynb", seconds=2)

        def test_nobody(lexoffice_notebook):
            lexoffice_notebook("nobody.ipynb", person=None)
        """
    )
    result.assert_outcomes(failed=3)
    said = result.stdout.str()
    assert "wrong.ipynb: cell 2 failed with NameError: name 'missing' is not defined" in said
    assert "    fine + missing" in said
    assert "slow.ipynb: more than 2 s have passed in cell 2:" in said
    assert "nobody.ipynb: cell 1 failed with SignedOut" in said
    assert "LEXOFFICE_SANDBOX_PERSON" in said
    assert "nbclient/" not in said, "the frames of others are no news"


@pytest.mark.soak
def test_a_notebook_may_go_on_after_a_cell_that_failed_and_says_what_is_solved_without_reading_its_words(
    user: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    written(pytester.path, "print('Solved: 3')").rename(pytester.path / "other.ipynb")
    written(
        pytester.path,
        "from lexoffice_nb import workshop\nfrom lexoffice_nb.texts import use_language\nuse_language('de')",
        "attack = workshop.solution(1).attack\nattack(workshop.exercise(1))\nworkshop.check(1)",
        "fine + missing",
        "attack(workshop.defence(1))",
    )
    result = user(
        """
        def test_mine(lexoffice_notebook):
            run = lexoffice_notebook("mine.ipynb", keep_going=True)
            assert run.solved == {1}
            assert run.failures == ("cell 3 failed with NameError: name 'fine' is not defined",)
            assert len(run.cells) == 4
            assert "progress()" not in str(run.notebook)

        def test_other(lexoffice_notebook):
            run = lexoffice_notebook("other.ipynb")
            assert run.solved == set()
            assert run.failures == ()
        """
    )
    result.assert_outcomes(passed=2)


def test_a_notebook_that_shows_a_token_is_refused_without_showing_it_again(
    user: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    written(pytester.path, LOGIN, "print('\\x1b[31m' + lexoffice.tokens.refresh_token.reveal())")
    written(pytester.path, LOGIN, "1 / 0 if lexoffice.tokens.access_token.reveal() else 0").rename(
        pytester.path / "fails.ipynb"
    )
    written(pytester.path, LOGIN, "dict(lexoffice.tokens.claims)").rename(pytester.path / "claims.ipynb")
    written(pytester.path, LOGIN, "raise ValueError(lexoffice.tokens.access_token.reveal())").rename(
        pytester.path / "raises.ipynb"
    )
    written(pytester.path, LOGIN, "print('\\x1b[31m' + lexoffice.tokens.refresh_token.reveal())")
    result = user(
        """
        import pytest
        from lexoffice_nb.testing import NotebookFailed, SecretFound

        def test_shown(lexoffice_notebook):
            with pytest.raises(SecretFound, match="^a refresh token is in cell 2 of the notebook$"):
                lexoffice_notebook("mine.ipynb")

        def test_an_error_is_an_output_too(lexoffice_notebook):
            with pytest.raises(SecretFound, match="^an access token is in cell 2 of the notebook$"):
                lexoffice_notebook("raises.ipynb")

        def test_a_nonce_is_one_too(lexoffice_notebook):
            with pytest.raises(SecretFound, match="^a nonce is in cell 2 of the notebook$"):
                lexoffice_notebook("claims.ipynb")

        def test_not_shown(lexoffice_notebook):
            with pytest.raises(NotebookFailed, match="ZeroDivisionError"):
                lexoffice_notebook("fails.ipynb")
        """
    )
    result.assert_outcomes(passed=4)


def test_an_attack_of_ones_own_is_judged_and_its_sandbox_ends_with_the_test(
    user: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    result = user(
        """
        def test_my_attack(lexoffice_workshop):
            attack = lexoffice_workshop.solution(1).attack
            attack(lexoffice_workshop.exercise(1))
            assert lexoffice_workshop.check(1).off.done
            attack(lexoffice_workshop.defence(1))
            assert lexoffice_workshop.check(1).solved

        def test_a_learner_begins_from_nothing(lexoffice_workshop):
            assert lexoffice_workshop.progress().solved == []
            lexoffice_workshop.exercise(2)
            assert not lexoffice_workshop.check(2).solved
        """
    )
    result.assert_outcomes(passed=2)
    assert running_below(pytester.path) == []
    assert not (pytester.path / "persons-own").exists()


def running_below(folder: Path) -> list[str]:
    """The processes whose command line, or whose folder, is below one: sandboxes and kernels of the test."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue  # it is in the folder of the test, too
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and str(folder) in f"{line} {process.cwd()}":
                found.append(line)
    return found


def examples(guide: str) -> dict[str, str]:
    """The examples of a teacher's guide, by the file that their first line names."""
    text = (ROOT / "docs" / guide).read_text("utf-8")
    return dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.soak
def test_the_examples_of_the_teachers_guide_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = examples("workshop.md")
    assert set(shown) == {"conftest.py", "test_my_workshop.py", "test_handed_in.py"}
    assert examples("workshop.de.md") == shown
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name, source in shown.items():
        (pytester.path / name).write_text(source, "utf-8")
    written(pytester.path, LOGIN, "print(lexoffice.profile().companyName)").rename(pytester.path / "my_notebook.ipynb")
    (pytester.path / "handed_in").mkdir()
    for learner, solved in (("anna", (2, 4)), ("ben", ())):
        notebook = nbformat.read(ROOT / "notebooks" / "11_attack_and_defend.ipynb", as_version=4)
        for cell in notebook.cells:
            if cell.id in {f"attack-{number:02}" for number in solved}:
                cell.source = f"{Solution(int(cell.id[-2:])).code}\n\nattack(e)"
            if cell.id == "attack-03" and solved:
                cell.source = "of_my_own"  # a cell that fails ends nothing
            cell.source = cell.source.replace('use_language("auto")', 'use_language("de")')  # and German is fine
        nbformat.write(notebook, pytester.path / "handed_in" / f"{learner}.ipynb")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", timeout=100)
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_handed_in.py::*ben*"])


def test_without_nbclient_it_says_what_to_install(user: Callable[..., pytest.RunResult]) -> None:
    result = user(
        """
        import importlib.util

        def test_mine(lexoffice_notebook, monkeypatch):
            find = importlib.util.find_spec
            monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nbclient" else find(name))
            lexoffice_notebook("mine.ipynb")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*to run notebooks it takes nbclient: pip install nbclient"])


def test_the_scripted_person_goes_to_this_machine_only(lexoffice_person: Person) -> None:
    with pytest.raises(ValueError, match="on this machine only"):
        lexoffice_person("https://issuer.example/authorize?state=x")


SECRET = "s3cret/with+signs&more"
TOKENS = TokenSet(
    Secret("a" * 43), refresh_token=Secret("r" * 64), id_token=Secret(f"eyJhbGciOi.{'p' * 20}.{'q' * 30}")
)


@pytest.mark.parametrize(
    ("shown", "known", "what"),
    [
        (SECRET, Secret(SECRET), "the secret"),
        ("s3cret%2Fwith%2Bsigns%26more", Secret(SECRET), "the secret"),
        ("<b>s3cret/with+signs&amp;more</b>", Secret(SECRET), "the secret"),
        ("a" * 43, TOKENS, "the access token"),
        (f"({'r' * 64})", TOKENS, "the refresh token"),
        ("q" * 30, TOKENS, "the ID token"),
        (f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.{'x' * 20}", TOKENS, "a signed token (JWT)"),
    ],
)
def test_a_secret_is_found_wherever_it_stands_and_in_every_form(
    tmp_path: Path, shown: str, known: Secret | TokenSet, what: str
) -> None:
    from lexoffice_nb.testing import SecretFound, assert_no_secrets

    def holding(**places: object) -> nbformat.NotebookNode:
        return new_notebook(cells=[new_markdown_cell("nothing"), new_code_cell(**places)])

    html = new_output("display_data", data={"text/html": shown})
    for notebook in (
        holding(source=f"x = '{shown}'"),
        holding(outputs=[new_output("stream", text=f"two\nlines {shown}")]),
        holding(outputs=[html]),
    ):
        nbformat.write(notebook, tmp_path / "n.ipynb")
        for given in (notebook, tmp_path / "n.ipynb"):
            with pytest.raises(SecretFound) as caught:
                assert_no_secrets(given, known)
            assert str(caught.value) == f"{what} is in cell 2 of the notebook"
    notebook = new_notebook(metadata={"widgets": {"state": shown}})
    with pytest.raises(SecretFound, match="is in the metadata of the notebook"):
        assert_no_secrets(notebook, known)
    assert_no_secrets(new_notebook(cells=[new_code_cell("1 + 1")]), known)


def test_the_package_does_not_import_it() -> None:
    program = (
        "import sys, lexoffice_nb.session; sys.exit('lexoffice_nb.testing' in sys.modules or 'pytest' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
