"""The cases that only a whole sign-in in a notebook shows."""

# ruff: noqa: F811 - the fixtures are those of the notebook's tests, imported

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from lexoffice_nb.notebook.card import card
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import use_language
from tests.notebook.conftest import (  # noqa: F401 - fixtures
    _clean_environment,
    box,
    browse,
    eventually,
    homes,
    new_flow,
    one_box,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from tests.oauth.conftest import StartProvider


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    use_language("en")
    yield
    use_language(None)


def listens(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.mark.case("statement/12-opens-at-the-start")
def test_the_listener_opens_when_the_sign_in_begins_and_not_before(new_flow: Callable[..., LoginFlow]) -> None:
    port = free_port()
    flow = new_flow(port=port)
    assert not listens(port)
    flow.prepare()
    assert flow.state == "waiting"
    assert urlsplit(flow.redirect_uri).port == port
    assert listens(port)


@pytest.mark.case("statement/12-closes-after-the-answer", "statement/03-open-after-another")
def test_the_listener_outlives_a_wrong_answer_and_closes_after_the_right_one(
    new_flow: Callable[..., LoginFlow],
) -> None:
    flow = new_flow()
    flow.prepare()
    port = urlsplit(flow.redirect_uri).port or 0
    right = sign_in(flow.link)
    assert browse(right.replace("state=", "state=x"))[0] == 400
    assert listens(port)
    assert browse(right)[0] == 200
    assert flow.state == "signed_in"
    eventually(lambda: not listens(port), 5)


def notes_at(flow: LoginFlow) -> list[str]:
    flow.prepare()
    assert flow.state == "waiting", flow.problem
    drawn: dict[str, Any] = card(flow)
    return list(drawn["notes"])


@pytest.mark.case("statement/02-s256-not-listed")
def test_the_card_says_that_s256_is_not_listed(start: StartProvider, new_flow: Callable[..., LoginFlow]) -> None:
    good, other = start(), start(metadata={"code_challenge_methods_supported": ["plain"]})
    assert not any("S256" in note for note in notes_at(new_flow(issuer=good.issuer, client_id="me")))
    assert any("S256" in note for note in notes_at(new_flow(issuer=other.issuer, client_id="me")))
