"""What an attacker has got to see. Its secrets are masked wherever it shows itself, and given where code asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload
from urllib.parse import parse_qsl, urlsplit

from lexoffice_nb.errors import shielded
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import from_server
from lexoffice_nb.workshop.page import Block, Line, Page
from lexoffice_nb.workshop.words import WorkshopError, knows, say

if TYPE_CHECKING:
    from typing import Self

_MASK = "••••"
# Anybody may have sent what leaked, so each part of it is shown only as far as an honest one goes.
_MOST_SHOWN = 80
_MOST_PARAMETERS = 20
# Nothing of these is of use to anybody. Of all others not even the length is shown.
_HARMLESS = {"client_id", "response_type", "grant_type", "scope", "code_challenge_method", "error", "server"}
# A secret may come in the place of a name as well.
_NAMES = _HARMLESS | {"code", "state", "iss", "nonce", "redirect_uri", "code_challenge", "code_verifier", "prompt"}
_NAMES |= {"error_description", "refresh_token", "access_token", "to", "person"}
_MAY_BE_SECRET = re.compile(r"[A-Za-z0-9_~%.+=-]{25,}")


class Leak:
    """A URL or a form that leaked.

    `leak.value` is all of it as a string, `leak["code"]` one parameter. Both give a secret, on purpose: they are for
    the attacker's code. What a cell shows of a leak is masked.

    Attributes:
        what: Its kind, as `callback_url`.
        where: Where the attacker saw it, as `browser history`.
    """

    def __init__(self, what: str, where: str, value: str) -> None:
        self.what = what
        self.where = where
        self._value = Secret(value)

    @property
    def value(self) -> str:
        """All of it. Whoever calls this takes care where it goes."""
        return self._value.reveal()

    @shielded
    def __getitem__(self, name: str) -> str:
        parameters = dict(self._parameters())
        if not isinstance(name, str) or name not in parameters:
            names = ", ".join([_name(each) for each in parameters][:_MOST_PARAMETERS]) or "–"
            raise WorkshopError("no_parameter", name=from_server(name, 40), names=names)
        return parameters[name]

    def _parameters(self) -> list[tuple[str, str]]:
        value = self.value
        try:
            return parse_qsl(urlsplit(value).query if "://" in value else value, keep_blank_values=True)
        except ValueError:  # a URL that is none
            return []

    def _masked(self) -> str:
        value = self.value
        parameters = self._parameters()
        each_shown = [f"{_name(name)}={_shown(name, each)}" for name, each in parameters[:_MOST_PARAMETERS]]
        shown = "&".join([*each_shown, *(["…"] if len(parameters) > _MOST_PARAMETERS else [])])
        if "://" not in value:
            return shown or _MASK
        try:
            parts = urlsplit(value)
        except ValueError:
            return _MASK
        host = from_server(parts.netloc.rpartition("@")[2], _MOST_SHOWN)
        place = f"{from_server(parts.scheme, _MOST_SHOWN)}://{host}{_harmless(parts.path)}"
        return place + (f"?{shown}" if shown else "") + (f"#{_MASK}" if parts.fragment else "")

    @shielded
    def __repr__(self) -> str:
        where = say(self.where) if knows(self.where) else self.where
        return f"{say('leak', what=from_server(self.what, 40), where=from_server(where, 60))}: {self._masked()}"


def _name(name: str) -> str:
    return name if name in _NAMES else _MASK


def _shown(name: str, value: str) -> str:
    return _harmless(value) if name in _HARMLESS else _MASK


def _harmless(text: str) -> str:
    return from_server(_MAY_BE_SECRET.sub(_MASK, text), _MOST_SHOWN)


class Leaks(Page, Sequence[Leak]):
    """All that has leaked, oldest first. `leaks["callback_url"]` is the newest of a kind."""

    def __init__(self, leaks: Sequence[Leak]) -> None:
        self._leaks = tuple(leaks)

    def __len__(self) -> int:
        return len(self._leaks)

    @overload
    def __getitem__(self, which: int | str) -> Leak: ...

    @overload
    def __getitem__(self, which: slice) -> Self: ...

    def __getitem__(self, which: int | str | slice) -> Leak | Self:
        if isinstance(which, slice):
            return type(self)(self._leaks[which])
        if isinstance(which, int):
            return self._leaks[which]
        of_that_kind = [leak for leak in self._leaks if leak.what == which]
        if not of_that_kind:
            raise WorkshopError("no_leak", what=from_server(which, 40))
        return of_that_kind[-1]

    def _title(self) -> str:
        return say("leaks")

    def _blocks(self) -> list[Block]:
        if not self._leaks:
            return [Block(text=say("leaks.none"))]
        return [Block(lines=[Line(repr(leak)) for leak in self._leaks]), Block(text=say("masked"))]
