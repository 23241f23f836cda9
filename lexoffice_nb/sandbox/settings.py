"""The switches of a sandbox, and the record it keeps of a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from lexoffice_nb.sandbox.faults import Faults


@dataclass
class SandboxSettings:
    """In-process switches; no request can read or change them.

    Attributes:
        access_token_life: Seconds an access token lives.
        code_life: Seconds an authorization code lives.
        refresh_token_life: Seconds an unused refresh token lives.
        id_token_life: Seconds between `iat` and `exp` of an ID token.
        clock_offset: Seconds by which the server's clock is wrong in `iat`, `exp` and `auth_time` of ID tokens.
        slow: Seconds the token endpoint waits before it answers; the request itself is done at once.
        fail_token_endpoint: Status with which the token endpoint fails before it does anything, or None.
        html_token_endpoint: The token endpoint answers with a page instead of JSON, and does nothing.
        drop_scopes: Scopes that are left out of every grant without a word, as some providers do.
        rate_limit: API requests per second for one organisation, or None for no limit.
        burst: API requests that may come at once after a pause, where there is a limit.
        faults: What goes wrong between a client and the API.
        company_name: Replaces every organisation's name in API and pages, to try names made of HTML.
        partner_redirect_uri: The one redirect URI of the partner client; it has to match exactly.
        partner_secret: Takes the place of the partner client's own secret, to try unusual characters.
        partner_basic_raw: Client ID and secret come in HTTP Basic as they are, and not form-encoded.
        partner_legacy_scope: The partner's token endpoint says `read write` and not which scopes were granted.
        partner_access_token_life: Seconds a partner's access token lives.
        partner_access_token_length: Characters of a partner's access token, as far as its contents leave room.
        partner_rate_limit: Requests a minute to the partner's authorization server, or None for no limit.
        partner_rate_pause: Seconds for which it answers 429 to everybody once the limit was passed.
        seed: What the books are drawn from. Nothing secret depends on it.
        extra_vouchers: Vouchers of the demo organisation beyond its drawn books, spread over the years before them.
        workshop: The world of the workshop's exercises is there too, with checks that can be switched off. Read once,
            at the start.
    """

    access_token_life: int = 3600
    code_life: int = 300
    refresh_token_life: int = 60 * 24 * 3600
    id_token_life: int = 3600
    clock_offset: float = 0.0
    slow: float = 0.0
    fail_token_endpoint: int | None = None
    html_token_endpoint: bool = False
    drop_scopes: tuple[str, ...] = ()
    rate_limit: float | None = None
    burst: int = 5
    faults: Faults = field(default_factory=Faults)
    company_name: str | None = None
    partner_redirect_uri: str = "http://127.0.0.1:8765/callback"
    partner_secret: str | None = field(default=None, repr=False)
    partner_basic_raw: bool = False
    partner_legacy_scope: bool = True
    partner_access_token_life: int = 14399
    partner_access_token_length: int = 4096
    partner_rate_limit: int | None = None
    partner_rate_pause: float = 30.0
    seed: int = 1
    extra_vouchers: int = 0
    workshop: bool = False


@dataclass(frozen=True)
class RequestRecord:
    """One request as the sandbox remembers it: never a query, a body, a header or a cookie.

    Attributes:
        time: Seconds since the epoch at which the answer was ready.
        method: HTTP method.
        path: Path without its query.
        status: HTTP status that was really sent; 0 for a connection that was closed without an answer.
        grant_type: The grant type at the token endpoint ("unknown" for one that does not exist), else None.
        client_id: The registered client that asked ("unknown" for any other name), else None.
        authorised_as: Person whose access token or API key was accepted, else None.
    """

    time: float
    method: str
    path: str
    status: int
    grant_type: str | None
    client_id: str | None
    authorised_as: str | None
