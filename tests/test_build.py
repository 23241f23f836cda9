"""The wheel: what is in it, and that it works where nothing else of this project is."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHEEL_LOGIN = ROOT / "tests" / "wheel_login.py"

# Making a wheel and installing it with everything it needs downloads some 100 MB the first time.
pytestmark = pytest.mark.timeout(600)

LOAD = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
bare = set(sys.modules)
printed = io.StringIO()
with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    shell.run_line_magic("load_ext", "lexoffice_nb")
seen = {
    "printed": printed.getvalue(),
    "imported": sorted(set(sys.modules) - bare),
    "magics": [name for name in shell.magics_manager.magics["line"] if name.startswith("lexoffice")],
    "where": sys.modules["lexoffice_nb"].__file__,
}
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs Python with the given arguments in an environment that holds the wheel and what it requires, no more."""
    base = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", base / "venv")
    python = base / "venv" / "bin" / "python"
    # Nothing is compiled but what is imported.
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", wheel)
    home = base / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEXOFFICE_", "PYTHON", "XDG_", "IPYTHON"))}

    def run_python(*arguments: str | Path) -> str:
        return run(python, "-I", *arguments, cwd=home, env={**kept, "HOME": str(home)})

    return run_python


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lexoffice_nb").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == package
    assert "lexoffice_nb/py.typed" in inside
    assert {Path(name).suffix for name in inside} >= {".py", ".js", ".css", ".toml"}


def test_load_ext_in_a_bare_ipython_prints_nothing_and_imports_nothing_heavy(installed):
    seen = json.loads(installed("-c", LOAD))
    assert "site-packages" in seen["where"]
    assert seen["printed"] == ""
    assert "lexoffice_login" in seen["magics"]
    heavy = {"requests", "ipywidgets", "anywidget", "joserfc", "duckdb", "flask", "authlib", "narwhals", "keyring"}
    assert heavy.isdisjoint(module.partition(".")[0] for module in seen["imported"])


def test_a_whole_login_works_with_the_wheel_alone(installed):
    installed(WHEEL_LOGIN)
