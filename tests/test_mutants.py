"""The removals of single checks: each still has its place, and an unnoticed one is told."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "tools" / "mutants.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    return module


TOOL = tool()


def test_there_are_at_least_twenty_and_each_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in TOOL.MUTANTS}) == len(TOOL.MUTANTS) >= 20


@pytest.mark.parametrize("mutant", TOOL.MUTANTS, ids=lambda mutant: mutant.name)
def test_each_has_its_place_once_and_leaves_python(mutant: Any) -> None:
    source = (ROOT / mutant.file).read_text("utf-8")
    assert source.count(mutant.old) == 1
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert all((ROOT / test).exists() for test in mutant.tests)


def test_a_removal_is_noticed_by_a_test_and_one_that_no_test_asks_for_is_not(tmp_path: Path) -> None:
    tree = TOOL.copy_of_the_tree(tmp_path)
    state = next(mutant for mutant in TOOL.MUTANTS if "state" in mutant.name)
    quick = replace(state, tests=("tests/oauth/test_callback.py",))
    assert (TOOL.first_failure(quick, tree) or "").startswith("tests/oauth/test_callback.py::")
    assert TOOL.first_failure(replace(state, tests=("tests/oauth/test_pkce.py",)), tree) is None
    assert (tree / state.file).read_text("utf-8") == (ROOT / state.file).read_text("utf-8")
