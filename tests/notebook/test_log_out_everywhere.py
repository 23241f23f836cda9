"""One account in two notebooks: both renew it, and a log-out in one is a log-out in both."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.sandbox.person import sign_in as allow
from tests.notebook.conftest import browse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.sandbox import Sandbox
    from tests.notebook.kernels import Kernel

COMPANY = "print(lexoffice.get('/v1/profile').json()['companyName'])"


@pytest.fixture(scope="module")
def kernels(new_kernel: Callable[..., Kernel]) -> tuple[Kernel, Kernel]:
    return new_kernel(), new_kernel()


@pytest.fixture
def accounts(homes: dict[str, str]) -> Iterator[Path]:
    folder = Path(homes["XDG_DATA_HOME"]) / "lexoffice_nb" / "accounts"
    yield folder
    for file in folder.glob("*") if folder.exists() else ():
        file.unlink()


@pytest.fixture
def shared(kernels: tuple[Kernel, Kernel], box: Sandbox, accounts: Path) -> Iterator[tuple[Kernel, Kernel]]:
    """Two notebooks that use one remembered account; only the first one's person has clicked."""
    yield sign_in_both(*kernels)
    for kernel in kernels:
        kernel.run("%lexoffice_logout")


def sign_in_both(first: Kernel, second: Kernel) -> tuple[Kernel, Kernel]:
    card = first.sign_in()
    card.link()
    card.say({"kind": "remember", "on": True})
    shown = card.when(lambda c: "Until" in (c["remember"] or {}).get("hint", ""))
    assert browse(allow(shown["link"]["href"]))[0] == 200
    card.state("signed_in")
    second.run("%load_ext lexoffice_nb\n%lexoffice_login")
    assert "Muster & Söhne GmbH" in second.run(COMPANY)
    return first, second


def count(box: Sandbox, path: str) -> int:
    return sum(r.path == path for r in box.requests)


def renewals(box: Sandbox) -> int:
    return sum(r.grant_type == "refresh_token" for r in box.requests)


def test_a_log_out_in_one_notebook_is_noticed_at_the_next_request_of_the_other(
    shared: tuple[Kernel, Kernel], box: Sandbox, accounts: Path
) -> None:
    first, second = shared
    before, asked = count(box, "/connect/revoke"), len(box.requests)
    assert "has revoked the tokens" in first.run("%lexoffice_logout")
    assert count(box, "/connect/revoke") == before + 2
    assert list(accounts.glob("*.json")) == []
    said = second.run(COMPANY)
    assert "Another notebook has ended this sign-in" in said
    assert "Sign in again with %lexoffice_login --force" in said
    assert len(box.requests) == asked + 2, "the other one asked nobody"
    assert "Nobody is signed in" in second.run("%lexoffice_status")


def test_after_that_the_login_cell_of_the_other_shows_a_link(shared: tuple[Kernel, Kernel]) -> None:
    first, second = shared
    first.run("%lexoffice_logout")
    second.run(COMPANY)
    assert second.sign_in().link().startswith("http")


def test_what_was_shown_of_it_is_gone_from_out_and_the_underscores(shared: tuple[Kernel, Kernel]) -> None:
    first, _ = shared
    first.run("lexoffice")
    first.run("[lexoffice.tokens, 1]")
    first.run("{'here': lexoffice.tokens.access_token}")
    first.run("%lexoffice_logout")
    search = """
import json
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from lexoffice_nb.session import LexofficeSession
def holds(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, (Secret, TokenSet, LexofficeSession)) or any(holds(part) for part in parts)
shell = get_ipython()
print(json.dumps([
    [n for n, v in Out.items() if holds(v)],
    [n for n, v in shell.user_ns.items() if n != "Out" and n != "_oh" and holds(v)],
    [n for n in ("_", "__", "___") if holds(getattr(shell.displayhook, n, None))],
]))
"""
    assert json.loads(first.run(search)) == [[], [], []]


@pytest.mark.case("statement/30-stores")
def test_the_refresh_token_is_revoked_before_the_access_token(box: Sandbox, accounts: Path) -> None:
    """Read off the client's own log, since the sandbox notes no body; both requests are in its record."""
    program = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(message)s")
from lexoffice_nb.notebook.sign_in import login
session = login(store="file")
access, refresh = session.tokens.access_token.reveal(), session.tokens.refresh_token.reveal()
assert session.logout() == []
"""
    before = count(box, "/connect/revoke")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**__import__("os").environ, "LEXOFFICE_SANDBOX_PERSON": "demo"},
    )
    said = [line for line in done.stdout.splitlines() if "is revoked" in line]
    assert [line.split("the ")[1] for line in said] == ["refresh_token is revoked", "access_token is revoked"]
    assert count(box, "/connect/revoke") == before + 2
    assert list(accounts.glob("*.json")) == []


def test_a_revocation_that_fails_is_said_and_everything_is_forgotten_all_the_same(
    shared: tuple[Kernel, Kernel], box: Sandbox, accounts: Path
) -> None:
    first, second = shared
    # The endpoint is taken away from this kernel: nobody listens on port 9 of this machine.
    first.run(
        "from dataclasses import replace\n"
        "source = lexoffice._source\n"
        "end = source._sign_in.endpoint\n"
        "provider = replace(end.provider, revocation_endpoint='http://127.0.0.1:9/revoke')\n"
        "source._sign_in = replace(source._sign_in, endpoint=replace(end, provider=provider))\n"
        "del source, end"
    )
    said = first.run("%lexoffice_logout")
    assert "The provider did not confirm that it revoked the tokens: " in said
    assert "NameError" in first.run("lexoffice")
    assert list(accounts.glob("*.json")) == []
    assert "Another notebook has ended this sign-in" in second.run(COMPANY)


def test_two_notebooks_renew_one_account_without_an_error(
    kernels: tuple[Kernel, Kernel], box: Sandbox, accounts: Path
) -> None:
    box.settings.access_token_life = 2
    first, second = sign_in_both(*kernels)
    before = renewals(box)
    work = """
import time
end, done = time.time() + 6, 0
while time.time() < end:
    assert lexoffice.get('/v1/profile').json()['companyName']
    done += 1
    time.sleep(0.05)
print('requests:', done > 20)
"""
    began = time.monotonic()
    asked = [(kernel, kernel.ask(work)) for kernel in (first, second)]
    said = []
    for kernel, request in asked:
        messages = kernel.end_of(request, 40)
        said += [m["content"]["text"] for m in messages if m["msg_type"] == "stream"]
        assert [m["content"]["evalue"] for m in messages if m["msg_type"] == "error"] == []
    assert "".join(said).count("requests: True") == 2
    lives = (time.monotonic() - began) / 1.5  # a token is renewed once three quarters of its life are over
    assert 2 <= renewals(box) - before <= lives + 2
    assert all(r.status == 200 for r in box.requests if r.grant_type == "refresh_token")
    first.run("%lexoffice_logout")
