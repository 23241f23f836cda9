"""The defences that the exercises switch, and what each exercise is set up with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Pkce = Literal["none", "plain", "S256"]


@dataclass(frozen=True)
class Defences:
    """What issuer and app check. The defaults are everything.

    Attributes:
        pkce_required: The issuer refuses an authorization request without a challenge (RFC 9700, section 2.1.1).
        s256_only: The issuer refuses the method `plain` (RFC 7636, section 7.2).
        codes_once: The issuer takes a code once, and ends its family at a second use (RFC 9700, section 4.5).
        exact_redirect: The issuer compares redirect URIs as a whole (RFC 9700, section 4.1.3).
        checks_state: The app compares `state` (RFC 6749, section 10.12).
        pkce: How the app uses PKCE.
        checks_iss: The app compares `iss` (RFC 9207, section 2.4).
        literal_redirect: The app's redirect URI names 127.0.0.1 and not `localhost`, and the app holds ::1 as well
            (RFC 8252, section 8.3).
        single_flight: Of the app's threads one renews, and the others wait for it.
    """

    pkce_required: bool = True
    s256_only: bool = True
    codes_once: bool = True
    exact_redirect: bool = True
    checks_state: bool = True
    pkce: Pkce = "S256"
    checks_iss: bool = True
    literal_redirect: bool = True
    single_flight: bool = True


@dataclass(frozen=True)
class Setting:
    """What surrounds the attacker of one exercise.

    Attributes:
        off: The defences while the exercise's own one is switched off.
        on: The same with it switched on.
        callback_leaks: Where the attacker sees the victim's callback URL, or nothing.
        link_leaks: Where the attacker sees the victim's authorization URL, or nothing.
        callback_taken: The victim's callback with a code never reaches the app: somebody else got it first.
        redirector: The app has its open redirector `/go`.
        second_server: The app offers `/login?server=second`, and the second server has its operator's page.
        access_token_life: Seconds that access tokens live, or None for as long as usual.
        slow: Seconds that the token endpoint takes to answer.
    """

    off: Defences = field(default_factory=Defences)
    on: Defences = field(default_factory=Defences)
    callback_leaks: str = ""
    link_leaks: str = ""
    callback_taken: bool = False
    redirector: bool = False
    second_server: bool = False
    access_token_life: int | None = None
    slow: float = 0.0


NO_EXERCISE = Setting()
_NO_PKCE = Defences(pkce_required=False, pkce="none")

SETTINGS: Mapping[int, Setting] = {
    # Stolen code.
    1: Setting(off=_NO_PKCE, callback_leaks="another program", callback_taken=True),
    # Downgrade: the app uses PKCE, and the issuer forgives its absence.
    2: Setting(
        off=Defences(pkce_required=False),
        callback_leaks="proxy log",
        link_leaks="proxy log",
        callback_taken=True,
    ),
    # Challenge without a hash.
    3: Setting(
        off=Defences(s256_only=False, pkce="plain"),
        callback_leaks="proxy log",
        link_leaks="proxy log",
        callback_taken=True,
    ),
    # Login CSRF. Without PKCE on both sides, so that it is the state that decides.
    4: Setting(off=replace(_NO_PKCE, checks_state=False), on=_NO_PKCE),
    # Code injection.
    5: Setting(off=_NO_PKCE, callback_leaks="proxy log", callback_taken=True),
    # Replay.
    6: Setting(off=replace(_NO_PKCE, codes_once=False), on=_NO_PKCE, callback_leaks="browser history"),
    # Open redirector.
    7: Setting(off=replace(_NO_PKCE, exact_redirect=False), on=_NO_PKCE, redirector=True),
    # Squatting.
    8: Setting(off=replace(_NO_PKCE, literal_redirect=False), on=_NO_PKCE),
    # Mix-up.
    9: Setting(off=Defences(checks_iss=False), second_server=True),
    # Renewal race. The network is slow, so that "at once" is half a second wide.
    10: Setting(off=Defences(single_flight=False), access_token_life=2, slow=0.5),
}
