"""Two hundred requests a process: none is refused, and hardly any time is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from tests.api.pace_at_a_sandbox import RATE, check, run_both

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_two_hundred_requests_of_one_and_of_each_of_two_processes_keep_the_pace(tmp_path: Path) -> None:
    settings = SandboxSettings(rate_limit=RATE)
    with (
        Sandbox(data_dir=tmp_path / "alone", settings=settings) as alone,
        Sandbox(data_dir=tmp_path / "shared", settings=settings) as shared,
    ):
        one, two = run_both(alone, shared, 200)
    check(one, 200, share=0.97)
    check(two, 400, share=0.97)
