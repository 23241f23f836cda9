"""The package as others see it: names, cost of an import, version, types."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lexoffice_nb

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lexoffice_nb"
HEAVY = {"requests", "ipywidgets", "anywidget", "joserfc", "duckdb", "flask", "authlib", "keyring", "narwhals"}
SANDBOX = "lexoffice_nb.sandbox"
KNOWS_NO_SANDBOX = ("api", "oauth", "texts", "errors.py", "receipt.py", "session.py")


def imported_after(code: str) -> set[str]:
    program = f"import sys; before = set(sys.modules)\n{code}\nimport json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("lexoffice_nb")}


def test_all_is_sorted_and_every_name_in_it_can_be_imported():
    assert lexoffice_nb.__all__ == sorted(lexoffice_nb.__all__)
    for name in lexoffice_nb.__all__:
        assert getattr(lexoffice_nb, name) is not None
        assert name in dir(lexoffice_nb)


def test_the_promised_names_are_there():
    promised = {"Books", "LexofficeLogin", "LexofficeSession", "Provider", "TokenSet", "Secret", "errors", "login"}
    assert promised <= set(lexoffice_nb.__all__)


def test_every_lazy_name_is_where_it_is_said_to_be():
    for name, place in lexoffice_nb._PLACES.items():
        assert name in lexoffice_nb.__all__
        assert getattr(importlib.import_module(place), name) is getattr(lexoffice_nb, name)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        lexoffice_nb.no_such_name  # noqa: B018


def test_the_import_brings_nothing_heavy():
    assert imported_after("import lexoffice_nb") & (HEAVY | {"IPython"}) == set()


def test_loading_the_extension_brings_nothing_heavy():
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\nimport lexoffice_nb\n"
        "shell = InteractiveShell.instance()\nlexoffice_nb.load_ipython_extension(shell)\n"
        "assert 'lexoffice_login' in shell.magics_manager.magics['line']\nshell.atexit_operations()"
    )
    assert imported_after(code) & HEAVY == set()


def test_the_watch_on_imports_would_see_one():
    assert "requests" in imported_after("import lexoffice_nb; lexoffice_nb.LexofficeSession")


def test_it_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").read_bytes() == b""


def test_the_version_is_the_one_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" in project.get("dynamic", ()) or project["version"] == lexoffice_nb.__version__


def test_the_sandbox_imports_nothing_of_the_rest():
    for path in (PACKAGE / "sandbox").rglob("*.py"):
        assert all(name.startswith(SANDBOX) for name in imports_of(path)), path


@pytest.mark.parametrize("part", KNOWS_NO_SANDBOX)
def test_the_client_imports_nothing_of_the_sandbox(part):
    paths = list((PACKAGE / part).rglob("*.py")) or [PACKAGE / part]
    for path in paths:
        assert not any(name.startswith(SANDBOX) for name in imports_of(path)), path
