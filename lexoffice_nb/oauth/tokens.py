"""What a sign-in gives: `TokenSet`, with every secret in it wrapped in `Secret`."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping


class Secret:
    """A string that never shows itself: not in repr, str, format, traceback, pickle or JSON. `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Gives the secret itself. Whoever calls this takes care where it goes."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(••••)"

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # Pasted text may hold lone surrogates; an error about them would carry the whole secret.
        mine, theirs = (secret._value.encode("utf-8", "surrogatepass") for secret in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("A Secret cannot be pickled or copied: it would leave this process in plain text.")


@dataclass(frozen=True)
class TokenSet:
    """The tokens of one sign-in (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).

    Attributes:
        access_token: opaque to the client; sent as bearer to the API's origin only.
        expires_at: when the access token ends (UTC), or None where the provider did not say.
        scope: what was granted.
        refresh_token: gives the next access token; None where the provider gave none.
        id_token: who signed in, as the provider signed it; its verified claims are in `claims`.
    """

    access_token: Secret
    expires_at: datetime | None = None
    scope: tuple[str, ...] = ()
    refresh_token: Secret | None = None
    id_token: Secret | None = field(default=None, repr=False)
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @property
    def expired(self) -> bool:
        """Whether the access token's life is over by this machine's clock."""
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("A TokenSet cannot be pickled or copied: sign in again where it is needed.")
