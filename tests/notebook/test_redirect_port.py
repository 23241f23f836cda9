"""A redirect port that another program holds: no link leads there unnoticed."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.login_widget import LoginWidget
from lexoffice_nb.notebook.terminal import sign_in_terminal
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in
from tests.notebook.conftest import browse, eventually, our_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.notebook.terminal_reader import Wake

ADDRESSES = ["127.0.0.1", "::1"]
HOLDER = """
import socket, sys
def listening(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    held = socket.socket(family)
    held.bind((address, port))
    held.listen()
    return held
while True:
    held = listening(sys.argv[1], 0)
    try:  # nobody else has the same number at the other address
        listening("127.0.0.1" if ":" in sys.argv[1] else "::1", held.getsockname()[1]).close()
        break
    except OSError as error:
        if error.errno != 98:
            break
with held:
    print(held.getsockname()[1], flush=True)
    held.settimeout(60)
    sys.stdin.read(1)
"""


class Holder:
    """Another program that listens at a port."""

    def __init__(self, address: str) -> None:
        command = ["timeout", "60", sys.executable, "-c", HOLDER, address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.uri = f"http://127.0.0.1:{self.port}/callback"
        self.number = int(subprocess.check_output(["pgrep", "-P", str(self._process.pid)], text=True))

    def end(self) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.communicate("x", timeout=10)


@pytest.fixture(params=ADDRESSES)
def holder(request: pytest.FixtureRequest) -> Iterator[Holder]:
    if request.param == "::1":
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
    holder = Holder(request.param)
    yield holder
    holder.end()


@pytest.fixture
def held(new_flow: Callable[..., LoginFlow], holder: Holder) -> LoginFlow:
    """A sign-in whose port is held."""
    flow = new_flow(redirect_uri=holder.uri)
    flow.prepare()
    return flow


def waits_for_the_port(flow: LoginFlow, holder: Holder) -> None:
    drawn = card(flow)
    assert (flow.state, flow.asks, flow.listening) == ("waiting", "port", False)
    assert (flow.link, drawn["link"], drawn["box"]) == ("", None, None)
    assert [action["name"] for action in drawn["actions"]] == ["again", "paste_instead"]
    assert f"Port {holder.port}" in drawn["problem"]["what"]
    assert "python" in drawn["problem"]["what"]
    assert f"(process {holder.number})" in drawn["problem"]["what"]
    assert "state=" not in json.dumps(drawn)


def settle(flow: LoginFlow) -> None:
    eventually(lambda: flow.state != "ready" and "lexoffice-nb sign-in" not in our_threads())


def say(widget: LoginWidget, content: Any) -> None:
    widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


def test_threat_16_no_link_is_shown_while_another_program_holds_the_redirect_port(
    held: LoginFlow, holder: Holder
) -> None:
    waits_for_the_port(held, holder)
    held.again()
    settle(held)
    waits_for_the_port(held, holder)


def test_threat_16_the_link_comes_when_the_port_is_free(held: LoginFlow, holder: Holder) -> None:
    holder.end()
    held.again()
    settle(held)
    assert (held.state, held.asks, held.listening, held.problem) == ("waiting", "callback", True, None)
    assert card(held)["link"]["href"] == held.link
    assert browse(sign_in(held.link))[0] == 200
    assert held.state == "signed_in"


def test_threat_16_whoever_pastes_knows_who_listens(held: LoginFlow, holder: Holder) -> None:
    held.paste_instead()
    settle(held)
    drawn = card(held)
    assert (held.state, held.asks, held.listening, held.problem) == ("waiting", "callback", False, None)
    assert drawn["link"]["href"] == held.link
    assert (drawn["box"]["kind"], drawn["box"]["primary"]) == ("callback", True)
    [note] = [note for note in drawn["notes"] if "receives the answer too" in note]
    assert f"(process {holder.number})" in note
    assert not [name for name in our_threads() if name.startswith("loopback")]
    held.answer(Secret(sign_in(held.link)))
    assert held.state == "signed_in"


def test_threat_16_a_new_link_after_a_refusal_is_pasted_too_and_the_note_stays(held: LoginFlow, holder: Holder) -> None:
    held.paste_instead()
    settle(held)
    held.answer(Secret(sign_in(held.link, allow=False)))
    assert (held.state, held.listening) == ("failed", False)
    assert f"(process {holder.number})" in " ".join(card(held)["notes"])


@pytest.mark.parametrize("name", ["again", "paste_instead"])
def test_threat_16_the_card_does_the_same_by_its_messages(held: LoginFlow, holder: Holder, name: str) -> None:
    widget = LoginWidget(held)
    try:
        say(widget, {"kind": "callback", "text": f"{holder.uri}?code=1&state=2"})
        settle(held)
        waits_for_the_port(held, holder)
        if name == "again":
            holder.end()
        say(widget, {"kind": "action", "name": name})
        settle(held)
        assert (held.asks, bool(held.link), held.listening) == ("callback", True, name == "again")
    finally:
        widget.close()


def test_threat_16_pasting_is_chosen_only_where_it_is_asked_for(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow()
    flow.prepare()
    link, version = flow.link, flow.version
    flow.paste_instead()
    flow.confirm()
    settle(flow)
    assert (flow.link, flow.listening, flow.pastes_although_held, flow.version) == (link, True, "", version)


@pytest.mark.parametrize("word", [" Paste ", "einfügen", "EINFÜGEN"])
def test_threat_16_in_a_terminal_enter_tries_again_and_the_word_paste_pastes(
    new_flow: Callable[..., LoginFlow], holder: Holder, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    flow = new_flow(redirect_uri=holder.uri)
    prompts: list[str] = []

    def read(prompt: str, _: Wake) -> Secret | None:
        prompts.append(prompt)
        shown = capsys.readouterr().out
        if "type paste" in prompt:
            assert f"(process {holder.number})" in shown
            assert "http" not in shown
            return Secret("" if len(prompts) == 1 else word)
        assert flow.link in shown
        return Secret(sign_in(flow.link))

    assert sign_in_terminal(flow, read).signed_in
    assert ["type paste" in prompt for prompt in prompts] == [True, True, False]


def test_threat_16_in_a_terminal_enter_goes_on_when_the_port_is_free(
    new_flow: Callable[..., LoginFlow], holder: Holder
) -> None:
    flow = new_flow(redirect_uri=holder.uri)
    prompts: list[str] = []

    def read(prompt: str, _: Wake) -> Secret | None:
        prompts.append(prompt)
        if len(prompts) == 1:
            holder.end()
        else:
            assert browse(sign_in(flow.link))[0] == 200
        return None if len(prompts) > 1 else Secret("")

    assert sign_in_terminal(flow, read).signed_in
    assert len(prompts) == 2
