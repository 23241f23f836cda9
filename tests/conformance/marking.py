"""A parameter set of its own for each case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping


def case(case_id: str, *values: Any) -> Any:
    """Parameters of a test that proves one case, and is called by it."""
    return pytest.param(*values, id=case_id.partition("/")[2], marks=pytest.mark.case(case_id))


def marked(table: Mapping[str, Any], cases: Mapping[str, str | tuple[str, ...]]) -> list[Any]:
    """The entries of a table as parameters, some of them marked with the cases that they prove."""
    assert not cases.keys() - table.keys(), "a case for an entry that is not there"
    given = []
    for name, values in table.items():
        ids = cases.get(name, ())
        marks = [pytest.mark.case(*((ids,) if isinstance(ids, str) else ids))] if ids else []
        given.append(pytest.param(*(values if isinstance(values, tuple) else (values,)), id=name, marks=marks))
    return given
