"""A working day of sign-ins in one kernel leaves nothing behind."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox.person import sign_in
from tests.notebook.conftest import browse, eventually, our_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.sandbox import Sandbox


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path would open the folder as one more


@pytest.mark.parametrize("times", [3, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_signing_in_refusing_and_out_again_keeps_no_thread_port_or_file(
    new_flow: Callable[..., LoginFlow], box: Sandbox, times: int
) -> None:
    def once() -> None:
        flow = new_flow()
        flow.prepare()
        assert browse(sign_in(flow.link, allow=False))[0] == 400
        eventually(lambda: flow.state == "failed")
        assert browse(sign_in(flow.link))[0] == 200
        eventually(lambda: flow.state == "signed_in")
        assert flow.session.get("/v1/profile").status_code == 200
        assert flow.session.logout() == []
        flow.close()

    once()
    eventually(lambda: not our_threads())
    gc.collect()
    before = open_files()
    for _ in range(times):
        once()
    eventually(lambda: not our_threads())
    gc.collect()
    assert open_files() <= before + 2
