"""The widget and its messages, in this process; `test_kernel` has it in a real one."""

from __future__ import annotations

import gc
import json
import weakref
from typing import TYPE_CHECKING, Any

import ipywidgets
import pytest
from ipywidgets.widgets.widget import _instances

from lexoffice_nb.notebook.login_widget import MESSAGE_LIMIT, LoginWidget
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import current_language
from tests.notebook.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.notebook.login_flow import LoginFlow


@pytest.fixture
def widget(new_flow: Callable[..., LoginFlow]) -> Iterator[LoginWidget]:
    flow = new_flow()
    flow.prepare()
    widget = LoginWidget(flow)
    yield widget
    widget.close()


def deliver(widget: LoginWidget, data: Any, **more: Any) -> None:
    """A message of some client of the kernel."""
    widget._handle_msg({"content": {"data": data}, "buffers": [], **more})


def say(widget: LoginWidget, content: Any) -> None:
    deliver(widget, {"method": "custom", "content": content})


def sent_by(widget: LoginWidget) -> list[Any]:
    """What the widget sends from now on."""
    sent: list[Any] = []
    widget.comm.publish_msg = lambda kind, **content: sent.append(content.get("data"))
    return sent


def test_no_trait_of_it_is_synced_but_anywidgets_own(widget: LoginWidget) -> None:
    own = set(widget.keys) - set(ipywidgets.DOMWidget().keys)
    assert own == {"_esm", "_css", "_anywidget_id"}


@pytest.mark.case("statement/09-widget-state")
def test_its_state_and_the_embedded_state_hold_no_link_and_no_secret(widget: LoginWidget) -> None:
    callback = sign_in(widget.flow.link)
    state = widget.flow.link.partition("state=")[2].partition("&")[0]

    def everything() -> str:
        return json.dumps([widget.get_state(), ipywidgets.Widget.get_manager_state()], default=str) + repr(widget)

    sent = sent_by(widget)
    deliver(widget, {"method": "request_state"})
    assert "_esm" in str(sent)
    assert widget.flow.link not in everything() + str(sent)
    assert state not in everything() + str(sent)
    say(widget, {"kind": "callback", "text": callback})
    eventually(lambda: widget.flow.state == "signed_in")
    assert callback.partition("code=")[2][:20] not in everything()
    assert widget.flow.session.tokens.access_token.reveal() not in everything()


@pytest.mark.parametrize(
    "trait", ["_esm", "_css", "_anywidget_id", "_view_name", "_model_module", "_dom_classes", "comm"]
)
def test_threat_05_an_update_of_a_client_changes_nothing(widget: LoginWidget, trait: str) -> None:
    before = widget.get_state(), widget.comm
    deliver(widget, {"method": "update", "state": {trait: "alert(1)"}})
    deliver(widget, {"method": "update", "state": {trait: "alert(1)"}, "buffer_paths": [["x"]]}, buffers=[b"1"])
    assert (widget.get_state(), widget.comm) == before


@pytest.mark.parametrize(
    "content",
    [
        None,
        17,
        "callback",
        ["callback"],
        {},
        {"kind": None},
        {"kind": ["callback"], "text": "x"},
        {"kind": "unknown", "text": "x"},
        {"kind": "anywidget-command", "name": "x"},
        {"kind": "key", "text": "this card asks for no key"},
        {"kind": "callback"},
        {"kind": "callback", "text": 17},
        {"kind": "callback", "text": ["http://127.0.0.1:1/callback"]},
        {"kind": "callback", "text": {"a": "b"}},
        {"kind": "callback", "text": "x" * (MESSAGE_LIMIT + 1)},
        {"kind": "action"},
        {"kind": "action", "name": "close"},
        {"kind": "action", "name": ["again"]},
        {"kind": "opened"},
    ],
)
def test_a_message_that_is_none_is_ignored(widget: LoginWidget, content: Any) -> None:
    before = widget.flow.version, widget.flow.state
    say(widget, content)
    assert (widget.flow.version, widget.flow.state) == before


@pytest.mark.parametrize("data", [None, 17, [], {}, {"method": "custom"}, {"method": ["custom"]}, {"method": "delete"}])
def test_a_message_of_another_shape_is_ignored(widget: LoginWidget, data: Any) -> None:
    before = widget.flow.version, widget.flow.state
    deliver(widget, data)
    assert (widget.flow.version, widget.flow.state) == before


def test_a_message_with_buffers_is_ignored(widget: LoginWidget) -> None:
    before = widget.flow.version
    deliver(widget, {"method": "custom", "content": {"kind": "callback", "text": "x"}}, buffers=[b"x"])
    assert widget.flow.version == before


@pytest.mark.parametrize("language", [None, 17, "", "x" * 1000, ["de"], "fr-FR", "{de}"])
def test_a_greeting_in_no_language_of_ours_is_answered_all_the_same(widget: LoginWidget, language: Any) -> None:
    sent = sent_by(widget)
    say(widget, {"kind": "hello", "lang": language})
    assert [data["content"]["lang"] for data in sent] == ["en"]


def test_the_greeting_sets_the_language(widget: LoginWidget) -> None:
    sent = sent_by(widget)
    say(widget, {"kind": "hello", "lang": "de-DE"})
    assert sent[0]["content"]["status"]["text"] == "Wartet auf Ihre Anmeldung"
    assert current_language() == "de"


def test_a_language_that_was_chosen_is_not_changed_by_the_greeting(new_flow: Callable[..., LoginFlow]) -> None:
    widget = LoginWidget(new_flow(), language="en")
    say(widget, {"kind": "hello", "lang": "de-DE"})
    assert current_language() == "en"
    widget.close()


def test_a_comm_that_is_gone_does_not_stop_the_sign_in(widget: LoginWidget) -> None:
    def gone(*_: object, **__: object) -> None:
        raise RuntimeError("the comm is closed")

    widget.comm.publish_msg = gone
    widget.flow.answer(Secret(sign_in(widget.flow.link)))
    assert widget.flow.state == "signed_in"
    del widget.comm.publish_msg


def test_closed_it_leaves_no_model_behind(new_flow: Callable[..., LoginFlow]) -> None:
    before = set(_instances)
    flow = new_flow()
    widget = LoginWidget(flow)
    assert len(set(_instances) - before) >= 2  # the card and its layout
    widget.close()
    widget.close()
    assert set(_instances) <= before
    gone = weakref.ref(widget)
    del widget
    gc.collect()
    assert gone() is None
