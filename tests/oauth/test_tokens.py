"""`Secret` and `TokenSet` show nothing, wherever they turn up."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import pprint
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from IPython.core.formatters import PlainTextFormatter
from IPython.core.ultratb import VerboseTB

from lexoffice_nb.oauth.tokens import Secret, TokenSet

if TYPE_CHECKING:
    from collections.abc import Callable

HIDDEN = "s3cr3t-v4lue"
MASK = "Secret(••••)"
SECRET = Secret(HIDDEN)
TOKENS = TokenSet(SECRET, datetime(2030, 1, 1, tzinfo=UTC), ("openid",), SECRET, SECRET, {"email": "who@example.org"})
SHOWN: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda value: format(value, ""),
    "f_string": lambda value: f"{value} {value!r} {value!s}",
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031 - the old way is what is looked at
    "join": lambda value: "{} {!r}".format(value, value),  # noqa: UP032 - the other old way
    "pprint": pprint.pformat,
    "json_with_default": lambda value: json.dumps({"value": value}, default=str),
    "container": lambda value: repr([{"value": (value,)}]),
    "notebook_output": lambda value: PlainTextFormatter()(value),
    "ascii": ascii,
}


@pytest.mark.parametrize("value", [SECRET, TOKENS], ids=["Secret", "TokenSet"])
@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_nothing_is_shown_by(show: Callable[[object], str], value: object) -> None:
    shown = show(value)
    assert HIDDEN not in shown
    assert "Secret(" in shown


@pytest.mark.parametrize("specification", [">40", "s", ".3"])
def test_a_format_shows_no_part_of_a_secret(specification: str) -> None:
    assert format(SECRET, specification) == MASK


LEAVING: dict[str, Callable[[object], object]] = {
    **{f"pickle_{n}": lambda value, n=n: pickle.dumps(value, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "json": json.dumps,
}


@pytest.mark.parametrize("value", [SECRET, TOKENS], ids=["Secret", "TokenSet"])
@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.case("statement/26-never-pickled")
def test_it_cannot_leave_by(leave: Callable[[object], object], value: object) -> None:
    with pytest.raises(TypeError) as caught:
        leave(value)
    assert HIDDEN not in str(caught.value)


@pytest.mark.parametrize("value", [SECRET, TOKENS], ids=["Secret", "TokenSet"])
@pytest.mark.case("statement/09-tracebacks")
def test_no_traceback_shows_it(value: object) -> None:
    def fail(argument: object) -> None:
        local = argument  # noqa: F841 - a verbose traceback shows it
        raise RuntimeError(f"no use for {argument}")

    try:
        fail(value)
    except RuntimeError as error:
        capture = traceback.TracebackException.from_exception(error, capture_locals=True)
        shown = "".join(capture.format())
        shown += VerboseTB().text(type(error), error, error.__traceback__)
    assert HIDDEN not in shown.replace(f'HIDDEN = "{HIDDEN}"', "")
    assert MASK in shown


def test_a_secret_has_no_attributes_to_list() -> None:
    with pytest.raises(TypeError):
        vars(SECRET)


def test_equal_secrets_are_equal_and_nothing_else_is() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_secrets_with_lone_surrogates_can_be_compared() -> None:
    """An error of the comparison would carry the whole secret in its attribute `object`."""
    assert Secret(HIDDEN + "\ud800") == Secret(HIDDEN + "\ud800")
    assert Secret(HIDDEN + "\ud800") != Secret(HIDDEN + "\ud801")


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret("a")


def test_token_sets_with_equal_contents_are_equal() -> None:
    again = TokenSet(Secret(HIDDEN), TOKENS.expires_at, ("openid",), Secret(HIDDEN), Secret(HIDDEN), {**TOKENS.claims})
    assert again == TOKENS
    assert dataclasses.replace(again, access_token=Secret("other")) != TOKENS
    assert dataclasses.replace(again, refresh_token=None) != TOKENS


def test_the_repr_of_a_token_set_names_no_person() -> None:
    assert repr(TOKENS) == (
        f"TokenSet(access_token={MASK}, expires_at=datetime.datetime(2030, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), "
        f"scope=('openid',), refresh_token={MASK})"
    )


def test_a_token_set_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TOKENS.access_token = Secret("other")  # type: ignore[misc]


@pytest.mark.parametrize(("life", "expired"), [(timedelta(seconds=-1), True), (timedelta(hours=1), False)])
def test_a_token_set_knows_whether_it_has_expired(life: timedelta, expired: bool) -> None:
    assert TokenSet(SECRET, datetime.now(UTC) + life).expired is expired


def test_a_token_set_of_unknown_life_has_not_expired() -> None:
    assert not TokenSet(SECRET).expired
