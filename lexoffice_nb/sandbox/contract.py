"""What a contract between this server and its clients is made of. There are two: `paper` and `partner`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.sandbox.people import Person
    from lexoffice_nb.sandbox.settings import SandboxSettings


@dataclass(frozen=True)
class Contract:
    """How one way of signing in differs from the other, as data.

    Attributes:
        prefix: The path that its endpoints lie below.
        openid: Whether it is OpenID Connect, with `iss` in its authorization responses (RFC 9207).
        authorize_methods: HTTP methods of its authorization endpoint.
        scopes: The scopes that can be asked for.
        code_octets: Random octets of an authorization code.
        refresh_octets: Random octets of a refresh token.
        one_live_pair: Whether a client has one live access and one live refresh token for an organisation.
        access_life: Seconds that an access token lives.
        make_access_token: Makes an access token for a person and what was granted.
        answered_scope: What the token response says was granted, given what was.
        check: Looks at the contract's own parameters of an authorization request, given when the person has signed in
            (0 if nobody has); returns the earliest sign-in that will do, or raises an OAuth2Error.
    """

    prefix: str
    openid: bool
    authorize_methods: tuple[str, ...]
    scopes: tuple[str, ...]
    code_octets: int
    refresh_octets: int
    one_live_pair: bool
    access_life: Callable[[SandboxSettings], int]
    make_access_token: Callable[[Person, str, SandboxSettings], str]
    answered_scope: Callable[[str, SandboxSettings], str]
    check: Callable[[dict[str, str], float], float]
