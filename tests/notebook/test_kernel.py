"""The card in a real kernel; the test plays the front end."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from lexoffice_nb.sandbox.person import sign_in
from tests.notebook.conftest import browse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.sandbox import Sandbox
    from tests.notebook.kernels import Card, Kernel

TWO_LINES = "SignedOut: Nobody is signed in yet.\n→ Finish the sign-in above, then run this cell again."
_numbers = itertools.count()


@pytest.fixture(scope="module")
def kernel(new_kernel: Callable[..., Kernel]) -> Kernel:
    kernel = new_kernel()
    kernel.run("import socket, time")
    return kernel


@pytest.fixture
def name() -> str:
    """Of a session that no other test uses."""
    return f"s{next(_numbers)}"


@pytest.fixture
def card(kernel: Kernel, name: str, box: Sandbox) -> Iterator[Card]:
    """A card that waits."""
    card = kernel.sign_in(f"%lexoffice_login {name}")
    card.link()
    yield card
    kernel.run(f"%lexoffice_logout {name}")


def company(kernel: Kernel, name: str) -> str:
    return kernel.run(f"print({name}.get('/v1/profile').json()['companyName'])").strip()


def exchanges(box: Sandbox) -> int:
    return sum(r.grant_type == "authorization_code" for r in box.requests)


# --- the ways in ------------------------------------------------------------------------------------------------------


def test_the_cell_ends_at_once_and_its_card_is_displayed(kernel: Kernel, name: str, box: Sandbox) -> None:
    begin = len(kernel.heard)
    card = kernel.sign_in(f"%lexoffice_login {name}")
    shown = [m["content"]["data"] for m in kernel.heard[begin:] if m["msg_type"] == "display_data"]
    views = [data["application/vnd.jupyter.widget-view+json"]["model_id"] for data in shown]
    assert views == [card.comm_id]
    assert "%lexoffice_login --terminal" in shown[0]["text/plain"]
    assert not [m for m in kernel.heard[begin:] if m["msg_type"] in ("stream", "error")]


def test_a_caught_callback_turns_the_card_into_the_receipt(kernel: Kernel, card: Card, name: str) -> None:
    status, page = browse(sign_in(card.link()))
    assert (status, "You are signed in" in page) == (200, True)
    receipt = card.state("signed_in")
    assert "Muster & Söhne GmbH" in str(receipt["rows"])
    assert (receipt["link"], receipt["box"]) == (None, None)
    assert company(kernel, name) == "Muster & Söhne GmbH"


def test_a_pasted_callback_signs_in(kernel: Kernel, card: Card, name: str) -> None:
    card.say({"kind": "callback", "text": sign_in(card.link())})
    card.state("signed_in")
    assert company(kernel, name) == "Muster & Söhne GmbH"


def test_a_wrong_state_is_explained_and_the_right_one_then_works(card: Card) -> None:
    right = sign_in(card.link())
    card.say({"kind": "callback", "text": right.replace("state=", "state=x")})
    shown = card.when(lambda c: c["problem"])
    assert "Invalid state parameter" in shown["problem"]["what"]
    assert shown["state"] == "waiting"
    card.say({"kind": "callback", "text": right})
    card.state("signed_in")


def test_a_refusal_is_explained_and_the_new_link_can_be_allowed(card: Card) -> None:
    first = card.link()
    card.say({"kind": "callback", "text": sign_in(first, allow=False)})
    shown = card.when(lambda c: c["state"] == "failed")
    assert "refused" in shown["problem"]["what"]
    assert shown["link"]["href"] != first
    card.say({"kind": "callback", "text": sign_in(shown["link"]["href"])})
    card.state("signed_in")


def test_the_cell_run_twice_shows_the_same_card_and_later_the_receipt(
    kernel: Kernel, card: Card, name: str, box: Sandbox
) -> None:
    link, before = card.link(), len(box.requests)
    begin = len(kernel.heard)
    kernel.run(f"%lexoffice_login {name}")
    shown = [m["content"]["data"] for m in kernel.heard[begin:] if m["msg_type"] == "display_data"]
    assert [data["application/vnd.jupyter.widget-view+json"]["model_id"] for data in shown] == [card.comm_id]
    assert card.link() == link
    assert len(box.requests) == before
    browse(sign_in(link))
    card.state("signed_in")
    signed_in = exchanges(box)
    assert "Muster & Söhne GmbH" in kernel.run(f"%lexoffice_login {name}")
    assert exchanges(box) == signed_in


def test_force_closes_the_old_card_and_shows_another(kernel: Kernel, card: Card, name: str) -> None:
    old = card.link()
    new = kernel.sign_in(f"%lexoffice_login {name} --force")
    assert new.comm_id != card.comm_id
    assert new.link() != old
    assert card.hello()["state"] == "closed"


def test_force_takes_the_same_port_again_and_an_older_tab_still_works(kernel: Kernel, name: str, box: Sandbox) -> None:
    port = kernel.run("s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]); s.close()").strip()
    line = f"%lexoffice_login {name} --redirect-uri http://127.0.0.1:{port}/callback"
    old = kernel.sign_in(line).link()
    new = kernel.sign_in(f"{line} --force").link()
    assert new != old
    assert browse(sign_in(old))[0] == 200
    status, page = browse(sign_in(new))
    assert (status, "You are signed in already" in page) == (200, True)
    assert company(kernel, name) == "Muster & Söhne GmbH"


def test_a_kernel_that_is_interrupted_during_the_exchange_keeps_its_card(
    kernel: Kernel, card: Card, name: str, box: Sandbox
) -> None:
    box.settings.slow = 1.0
    card.say({"kind": "callback", "text": sign_in(card.link())})
    card.when(lambda c: c["state"] == "exchanging")
    request = kernel.ask("time.sleep(30)")
    time.sleep(0.3)
    kernel.manager.interrupt_kernel()
    errors = [m["content"]["ename"] for m in kernel.end_of(request) if m["msg_type"] == "error"]
    assert errors == ["KeyboardInterrupt"]
    card.state("signed_in")
    assert company(kernel, name) == "Muster & Söhne GmbH"


def test_ready_can_be_awaited(kernel: Kernel, card: Card, name: str) -> None:
    link = card.link()
    request = kernel.ask(f"print((await {name}.ready()).signed_in)")
    time.sleep(0.3)
    assert browse(sign_in(link))[0] == 200
    assert [m["content"]["text"] for m in kernel.end_of(request) if m["msg_type"] == "stream"] == ["True\n"]


def test_run_all_stops_in_two_lines_before_anybody_is_signed_in(kernel: Kernel, card: Card, name: str) -> None:
    first = f"time.sleep(0.5); {name}.get('/v1/profile')"  # so that the second one is queued already when it fails
    requests = [kernel.ask(first), kernel.ask("print('not reached')")]
    error = next(m["content"] for m in kernel.end_of(requests[0]) if m["msg_type"] == "error")
    assert "\n".join(error["traceback"]) == TWO_LINES
    assert not [m for m in kernel.end_of(requests[1]) if m["msg_type"] == "stream"]


def test_an_api_key_is_pasted_into_the_card(kernel: Kernel, name: str, box: Sandbox) -> None:
    card = kernel.sign_in(f"%lexoffice_login {name} --api-key")
    shown = card.state("waiting")
    assert shown["link"]["href"] == f"{box.url}/addons/public-api"
    assert shown["box"]["kind"] == "key"
    card.say({"kind": "callback", "text": "not what this card asks for"})
    for pasted, said in (("", "Nothing was pasted"), ("a b", "no API key"), ("wrong", "does not know this API key")):
        card.say({"kind": "key", "text": pasted})
        assert said in card.when(lambda c: c["problem"])["problem"]["what"]
    card.say({"kind": "key", "text": f"  {box.make_api_key()}\n"})
    card.state("signed_in")
    assert company(kernel, name) == "Muster & Söhne GmbH"


def test_a_held_port_is_named_on_the_card_and_try_again_works_when_it_is_free(
    kernel: Kernel, name: str, box: Sandbox
) -> None:
    kernel.run(f"holder_{name} = socket.create_server(('127.0.0.1', 0));port_{name} = holder_{name}.getsockname()[1]")
    port = kernel.run(f"print(port_{name})").strip()
    card = kernel.sign_in(f"%lexoffice_login {name} --redirect-uri http://127.0.0.1:{port}/callback")
    shown = card.state("waiting")
    assert f"Port {port}" in shown["problem"]["what"]
    assert "this notebook itself" in shown["problem"]["what"]
    assert shown["link"] is None
    assert [action["name"] for action in shown["actions"]] == ["again", "paste_instead"]
    kernel.run(f"holder_{name}.close()")
    card.say({"kind": "action", "name": "again"})
    link = card.when(lambda c: c["link"])["link"]["href"]
    assert browse(sign_in(link))[0] == 200
    card.state("signed_in")


def test_an_old_link_ends_on_the_card_and_try_again_gives_a_new_one(kernel: Kernel, name: str, box: Sandbox) -> None:
    kernel.run("from lexoffice_nb.notebook import login_flow; login_flow.ATTEMPT_SECONDS = 0.2")
    card = kernel.sign_in(f"%lexoffice_login {name}")
    shown = card.state("failed")
    assert "waited 0 minutes" in shown["problem"]["what"]
    assert shown["link"] is None
    kernel.run("login_flow.ATTEMPT_SECONDS = 600")
    card.say({"kind": "action", "name": "again"})
    assert card.when(lambda c: c["state"] == "waiting")["link"]["href"]


# --- what clients can do to it ----------------------------------------------------------------------------------------


def test_threat_05_no_message_of_a_client_changes_a_trait_or_raises(kernel: Kernel, card: Card, name: str) -> None:
    look = (
        "from ipywidgets.widgets.widget import _instances\n"
        f"print(hash(str(sorted(_instances[{card.comm_id!r}].get_state().items(), key=str))))"
    )
    before, begin = kernel.run(look), len(kernel.heard)
    for trait in ("_esm", "_css", "_anywidget_id", "_view_module", "_model_name", "layout", "_dom_classes", "link"):
        card.send({"method": "update", "state": {trait: "alert(1)"}})
        card.send({"method": "update", "state": {trait: "alert(1)"}, "buffer_paths": [["a", "b"]]})
    for data in (None, 17, [], {}, {"method": "custom"}, {"method": "unknown"}, {"method": ["x"]}):
        card.send(data)
    for content in (None, 1, "x", ["x"], {"kind": "x"}, {"kind": ["callback"]}, {"kind": "callback", "text": 1}):
        card.say(content)
    card.say({"kind": "callback", "text": "x" * (16 * 1024 + 1)})
    card.say({"kind": "action", "name": "unknown"})
    shown = card.hello()
    assert (shown["state"], shown["problem"]) == ("waiting", None)
    assert kernel.run(look) == before
    assert not [m for m in kernel.heard[begin:] if m["msg_type"] == "error"]
    assert "Traceback" not in kernel.log.read_text()


def test_the_login_link_is_in_no_state_of_a_widget(kernel: Kernel, card: Card) -> None:
    link = card.link()
    query = urlsplit(link).query
    state = query.partition("state=")[2].partition("&")[0]
    begin = len(kernel.heard)
    card.send({"method": "request_state"})
    asked = kernel.hear(lambda m: m["content"].get("data", {}).get("method") == "update")
    assert "_esm" in asked["content"]["data"]["state"]
    opened = [m["content"] for m in kernel.heard if m["msg_type"] == "comm_open"]
    saved = kernel.run("import ipywidgets, json; print(json.dumps(ipywidgets.Widget.get_manager_state()))")
    everything = json.dumps([asked["content"], opened]) + saved
    assert state not in everything
    assert "/connect/authorize" not in everything
    assert len(kernel.heard) > begin


def test_the_card_speaks_the_language_of_the_browser(kernel: Kernel, card: Card) -> None:
    german = card.hello("de-DE")
    assert (german["lang"], german["link"]["label"]) == ("de", "Anmeldeseite öffnen")
    card.say({"kind": "callback", "text": "hallo"})
    assert card.when(lambda c: c["problem"])["problem"]["what"] == "Das ist keine Adresse einer Webseite."
    assert card.hello("en-US")["lang"] == "en"


# --- without a card ---------------------------------------------------------------------------------------------------


def test_terminal_in_a_kernel_asks_through_stdin_and_shows_dots(kernel: Kernel, name: str, box: Sandbox) -> None:
    begin = len(kernel.heard)
    request = kernel.ask(f"%load_ext lexoffice_nb\n%lexoffice_login {name} --terminal")
    asked = kernel.client.get_stdin_msg(timeout=20)["content"]
    assert asked["password"] is True
    said = kernel.hear(lambda m: m["msg_type"] == "stream" and "/connect/authorize" in m["content"]["text"])
    printed = "".join(m["content"]["text"] for m in kernel.heard[begin:] if m["msg_type"] == "stream")
    assert said
    link = next(line.strip() for line in printed.splitlines() if "/connect/authorize" in line)
    kernel.client.input("nonsense")
    assert kernel.client.get_stdin_msg(timeout=20)["content"]["password"] is True
    callback = sign_in(link)
    kernel.client.input(callback)
    kernel.end_of(request)
    told = "".join(m["content"]["text"] for m in kernel.heard[begin:] if m["msg_type"] == "stream")
    assert "That is no address of a web page." in told
    assert "Signed in: Muster & Söhne GmbH" in told
    assert callback.partition("code=")[2][:20] not in json.dumps(kernel.heard[begin:], default=str)


def test_terminal_in_a_kernel_goes_on_with_enter_after_the_callback_was_caught(
    kernel: Kernel, name: str, box: Sandbox
) -> None:
    begin = len(kernel.heard)
    request = kernel.ask(f"%lexoffice_login {name} --terminal")
    kernel.client.get_stdin_msg(timeout=20)
    kernel.hear(lambda m: m["msg_type"] == "stream" and "/connect/authorize" in m["content"]["text"])
    printed = "".join(m["content"]["text"] for m in kernel.heard[begin:] if m["msg_type"] == "stream")
    link = next(line.strip() for line in printed.splitlines() if "/connect/authorize" in line)
    assert browse(sign_in(link))[0] == 200
    kernel.client.input("")
    kernel.end_of(request)
    assert "Signed in" in "".join(m["content"].get("text", "") for m in kernel.heard[begin:])


def test_a_kernel_without_stdin_fails_at_once_and_says_what_to_set(kernel: Kernel, name: str, box: Sandbox) -> None:
    began = time.monotonic()
    said = kernel.run(f"%lexoffice_login {name}", allow_stdin=False)
    assert "LEXOFFICE_API_KEY" in said
    assert time.monotonic() - began < 5


def test_unloading_closes_the_cards_in_the_front_end(kernel: Kernel, box: Sandbox) -> None:
    card = kernel.sign_in("%lexoffice_login last")
    redirect_uri = parse_qs(urlsplit(card.link()).query)["redirect_uri"][0]
    assert browse(f"{redirect_uri}?code=1&state=2")[0] == 400
    begin = len(kernel.heard)
    kernel.run("%unload_ext lexoffice_nb")
    assert card.comm_id in [m["content"]["comm_id"] for m in kernel.heard[begin:] if m["msg_type"] == "comm_close"]
    left = kernel.run(
        "import threading; print([t.name for t in threading.enumerate() if 'lexoffice' in t.name or 'loop' in t.name])"
    )
    assert left.strip() == "[]"
    with pytest.raises(ConnectionRefusedError):
        browse(f"{redirect_uri}?code=1&state=2")
    assert "UsageError" in kernel.run("%lexoffice_status")
    assert "NameError" in kernel.run("last")
