"""Secrets of the environment: read once, then gone from it; and out of the kernel's own log."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import SignedOut
from lexoffice_nb.notebook import environment, sign_in
from lexoffice_nb.notebook.sign_in import login
from tests.notebook.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.sandbox import Sandbox
    from tests.notebook.kernels import Kernel

CLIENT_SECRET = "the-secret-of-this-client-8c1f"


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    sign_in.close_all()


def test_threat_31_a_key_is_gone_from_the_environment_and_from_children_and_a_second_run_works(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = box.make_api_key()
    monkeypatch.setenv("LEXOFFICE_API_KEY", key)
    first = login("first", api_key=True, interactive=False)
    assert "LEXOFFICE_API_KEY" not in os.environ
    inherited = subprocess.run(
        [sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert key not in inherited
    assert "PATH" in json.loads(inherited)
    assert login("second", api_key=True, interactive=False).get("/v1/profile").status_code == 200
    first.logout()
    assert login("first", api_key=True, interactive=False).signed_in, "the cell that is run again after a log-out"


def test_threat_31_a_newer_value_wins_and_an_empty_one_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("one", "one"), ("two", "two")):
        monkeypatch.setenv("LEXOFFICE_API_KEY", value)
        found = environment.secret("LEXOFFICE_API_KEY")
        assert found is not None
        assert found.reveal() == expected
    monkeypatch.setenv("LEXOFFICE_API_KEY", "")
    assert environment.secret("LEXOFFICE_API_KEY") is None
    assert environment.secret("LEXOFFICE_API_KEY") is None


@pytest.mark.usefixtures("box")
def test_threat_31_unloading_forgets_what_was_taken(
    loaded: InteractiveShell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXOFFICE_API_KEY", box.make_api_key())
    loaded.run_line_magic("lexoffice_login", "--api-key")
    assert loaded.user_ns["lexoffice"].signed_in
    loaded.run_line_magic("unload_ext", "lexoffice_nb")
    assert environment._taken == {}
    with pytest.raises(SignedOut):
        login("again", interactive=False)


def test_threat_31_env_of_a_kernel_shows_no_secret_after_the_login(
    new_kernel: Callable[..., Kernel], box: Sandbox
) -> None:
    key = box.make_api_key()
    kernel = new_kernel(LEXOFFICE_API_KEY=key)
    look = (
        "import os, subprocess\nprint(dict(os.environ), subprocess.run(['env'], capture_output=True, text=True).stdout)"
    )
    assert kernel.run(look).count(key) == 2, "before, anybody can read it"
    kernel.run("%load_ext lexoffice_nb\n%lexoffice_login --api-key")
    eventually(lambda: "True" in kernel.run("lexoffice.signed_in"))
    assert "PATH" in kernel.run(look)
    assert key not in kernel.run(look)
    assert key not in kernel.run("%env LEXOFFICE_API_KEY")


@pytest.mark.parametrize("kind", ["callback", "key", "client_secret"])
def test_threat_31_what_is_pasted_is_not_in_the_kernels_own_log_at_debug(
    kind: str, new_kernel: Callable[..., Kernel], box: Sandbox
) -> None:
    kernel = new_kernel("--debug")
    card = kernel.sign_in("%lexoffice_login --api-key" if kind == "key" else "%lexoffice_login")
    card.hello()
    card.say({"kind": kind, "text": CLIENT_SECRET})
    card.hello()
    card.say({"kind": "remember", "on": True})
    card.hello()
    written = kernel.log.read_bytes().decode(errors="replace")
    assert "remember" in written, "the log does have the messages"
    assert CLIENT_SECRET not in written


def test_threat_31_the_dots_are_for_every_kind_of_text(loaded: InteractiveShell) -> None:
    from lexoffice_nb.notebook.quiet_log import HIDDEN, PastedTextHidden

    for kind in ("callback", "key", "client_secret", "anything"):
        message = {"content": {"data": {"content": {"kind": kind, "text": CLIENT_SECRET}}}}
        record = logging.LogRecord("x", logging.DEBUG, "", 1, "%s", (message,), None)
        PastedTextHidden().filter(record)
        assert CLIENT_SECRET not in record.getMessage()
        assert HIDDEN in record.getMessage()
        assert message["content"]["data"]["content"]["text"] == CLIENT_SECRET
