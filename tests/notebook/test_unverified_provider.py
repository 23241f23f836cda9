"""`paper`: a host that nobody has verified. Before a person confirms it, nothing is sent there, not even its name."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

import lexoffice_nb
from lexoffice_nb.errors import DiscoveryError, LexofficeError
from lexoffice_nb.notebook import sign_in
from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.login_widget import LoginWidget
from lexoffice_nb.notebook.terminal import sign_in_terminal
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret
from tests.notebook.conftest import eventually, our_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.notebook.terminal_reader import Wake

HOST = "login.lexoffice.io"
WAYS = [{"provider": "paper"}, {"issuer": f"https://{HOST}"}]
GOES_ON = (" Yes ", "y", "Y", "ja", "JA", "j")


@pytest.fixture(autouse=True)
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are looked up, all refused: nothing leaves this machine."""
    asked: list[str] = []

    def refuse(host: Any, *_: Any, **__: Any) -> Any:
        asked.append(host[0] if isinstance(host, tuple) else host)
        raise socket.gaierror(socket.EAI_NONAME, "refused by the test")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: refuse(address))
    return asked


@pytest.fixture(params=WAYS, ids=["preset", "issuer"])
def flow(request: pytest.FixtureRequest, new_flow: Callable[..., LoginFlow]) -> LoginFlow:
    flow = new_flow(**request.param, client_id="a-client")
    flow.prepare()
    return flow


def settle(flow: LoginFlow) -> None:
    eventually(lambda: flow.state != "ready" and "lexoffice-nb sign-in" not in our_threads())


def test_before_the_confirmation_nothing_is_sent_and_no_name_is_looked_up(
    flow: LoginFlow, looked_up: list[str]
) -> None:
    flow.again()
    flow.paste_instead()
    flow.answer(Secret("http://127.0.0.1:1/callback?code=1&state=2"))
    flow.take_client_secret(Secret("x"))
    flow.try_key(Secret("x"))
    drawn = card(flow)
    assert (flow.state, flow.asks, flow.link) == ("waiting", "confirmation", "")
    assert (drawn["link"], drawn["box"], [a["name"] for a in drawn["actions"]]) == (None, None, ["confirm"])
    assert HOST in [row["value"] for row in drawn["rows"]]
    assert drawn["problem"]["what"].startswith(HOST)
    assert looked_up == []


def test_a_confirmation_looks_up_that_host_and_no_other(flow: LoginFlow, looked_up: list[str]) -> None:
    flow.confirm()
    settle(flow)
    assert set(looked_up) == {HOST}
    assert (flow.state, flow.problem.code if flow.problem else None) == ("failed", "unreachable")
    assert [action["name"] for action in card(flow)["actions"]] == ["again"]


def test_the_card_confirms_by_its_message_and_by_no_other(flow: LoginFlow, looked_up: list[str]) -> None:
    widget = LoginWidget(flow)
    try:
        for content in (
            {"kind": "action", "name": "again"},
            {"kind": "action", "name": "paste_instead"},
            {"kind": "confirmation", "text": "yes"},
            {"kind": "callback", "text": "yes"},
        ):
            widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
        settle(flow)
        assert (flow.asks, looked_up) == ("confirmation", [])
        message = {"method": "custom", "content": {"kind": "action", "name": "confirm"}}
        widget._handle_msg({"content": {"data": message}, "buffers": []})
        settle(flow)
        assert set(looked_up) == {HOST}
    finally:
        widget.close()


def test_one_confirmation_is_for_one_sign_in(new_flow: Callable[..., LoginFlow], looked_up: list[str]) -> None:
    first = new_flow(provider="paper", client_id="a-client")
    first.prepare()
    first.confirm()
    settle(first)
    looked_up.clear()
    second = new_flow(provider="paper", client_id="a-client")
    second.follow(first)
    second.prepare()
    assert (second.asks, looked_up) == ("confirmation", [])


@pytest.mark.parametrize("way", WAYS, ids=["preset", "issuer"])
@pytest.mark.parametrize("said", [*GOES_ON, "", "n", "no", "nein", "yes please", None])
def test_in_a_terminal_only_the_word_yes_goes_on(
    new_flow: Callable[..., LoginFlow],
    looked_up: list[str],
    capsys: pytest.CaptureFixture[str],
    way: dict[str, str],
    said: str | None,
) -> None:
    flow, shown = new_flow(**way, client_id="a-client"), []

    def read(_: str, __: Wake) -> Secret | None:
        shown.append(capsys.readouterr().out)
        assert looked_up == []
        return None if said is None else Secret(said)

    with pytest.raises(LexofficeError) as caught:
        sign_in_terminal(flow, read)
    assert HOST in shown[0]
    if said in GOES_ON:
        assert (caught.value.code, set(looked_up)) == ("unreachable", {HOST})
    else:
        assert (caught.value.code, looked_up, flow.state) == ("provider_not_confirmed", [], "closed")
    assert len(shown) == 1


# --- only the line itself may name it ---------------------------------------------------------------------------------


@pytest.fixture
def refused(loaded: InteractiveShell) -> Callable[[str], str]:
    def run(line: str) -> str:
        with pytest.raises(LexofficeError) as caught:
            loaded.run_line_magic("lexoffice_login", line)
        return caught.value.code

    return run


def test_a_setting_cannot_choose_it(
    refused: Callable[[str], str], loaded: InteractiveShell, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("LEXOFFICE_PROVIDER", "paper")
        assert refused("") == "provider_explicit"
        with pytest.raises(DiscoveryError, match="paper"):
            lexoffice_nb.login()
    loaded.run_line_magic("config", 'LexofficeMagics.provider = "paper"')
    assert refused("") == "provider_explicit"
    assert sign_in.names() == []
    assert looked_up == []


@pytest.mark.parametrize("line", ["--provider paper --client-id c", f"--issuer https://{HOST} --client-id c"])
def test_with_nobody_there_it_is_refused_at_once(
    refused: Callable[[str], str], looked_up: list[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", "demo")
    assert refused(line) == "signed_out_no_person"
    monkeypatch.setenv("LEXOFFICE_API_KEY", "a-key")
    refused(line)
    for way in WAYS:
        with pytest.raises(LexofficeError):
            lexoffice_nb.login(**way, interactive=False)  # type: ignore[arg-type]
    assert looked_up == []


def test_in_python_it_has_to_be_confirmed_too(looked_up: list[str]) -> None:
    with pytest.raises(DiscoveryError) as caught:
        Provider.named("paper")
    assert (caught.value.code, looked_up) == ("provider_unverified", [])
    assert HOST in str(caught.value)
    with pytest.raises(LexofficeError):
        Provider.named("paper", confirmed=True)
    assert set(looked_up) == {HOST}


@pytest.mark.parametrize(
    "issuer", ["https://LOGIN.lexoffice.io", f"https://{HOST}/", f"https://{HOST}:443", f"https://{HOST}./"]
)
def test_another_spelling_of_its_address_is_no_way_around(
    new_flow: Callable[..., LoginFlow], looked_up: list[str], issuer: str
) -> None:
    flow = new_flow(issuer=issuer, client_id="a-client")
    flow.prepare()
    assert (flow.asks, flow.link, looked_up) == ("confirmation", "", [])
