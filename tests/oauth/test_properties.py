"""Whatever comes in, a `LexofficeError` or a valid result comes out: never another exception, never a hang.

Each property holds for 200 examples in the normal run and for 10 000 in the soak, the same ones each time.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import math
import re
import socket
import threading
import time
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlencode

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from joserfc import jws

from lexoffice_nb.api import exact_json, refusals
from lexoffice_nb.api.response import ApiResponse
from lexoffice_nb.errors import ApiError, DiscoveryError, LexofficeError, LoginError
from lexoffice_nb.oauth import callback, token_endpoint, transport
from lexoffice_nb.oauth import metadata as metadata_module
from lexoffice_nb.oauth.id_token import ExpectedClaims, IssuerKeys, verify_id_token
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_endpoint import TokenAnswer, TokenEndpoint
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Answer
from lexoffice_nb.texts import from_server
from tests.oauth.misbehaving import CLIENT_ID, REDIRECT_URI, at_hash, base64url, ec_key, okp_key, public, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Octets = st.SearchStrategy[bytes]

T = TypeVar("T")

SECONDS = 20  # far more than any example needs, and less than the deadline of a request
STEADY = settings(
    deadline=None, derandomize=True, database=None, print_blob=False, suppress_health_check=list(HealthCheck)
)
RUNS = [200, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]


def holds_for(**examples: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a test of a property; its arguments are examples, or else fixtures."""

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        fixtures = [name for name in inspect.signature(body).parameters if name not in examples]

        @pytest.mark.parametrize("times", RUNS)
        def test(times: int, request: pytest.FixtureRequest) -> None:
            tried = settings(STEADY, max_examples=times)(given(**examples)(body))
            tried(**{name: request.getfixturevalue(name) for name in fixtures})

        test.__name__ = test.__qualname__ = body.__name__
        return test

    return decorate


def told(act: Callable[[], T], kind: type[LexofficeError] = LexofficeError) -> T | None:
    """The result of `act`, or None where it was refused in words that can be shown in both languages."""
    begun = time.monotonic()
    try:
        return act()
    except kind as error:
        for language in ("en", "de"):
            shown = f"{error.what(language)} {error.next(language)}"
            assert len(shown) < 4000
            assert not any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in shown), repr(shown)
        return None
    finally:
        assert time.monotonic() - begun < SECONDS, "hardly better than a hang"


# --- what comes in ---

ANY_CHARACTER = st.characters(exclude_categories=())  # lone surrogates as well
ANY_TEXT = st.text(ANY_CHARACTER, max_size=60)
SHORT_TEXT = st.one_of(
    ANY_TEXT,
    st.text("abc:/?#[]@%.&=;+-_ \"'<>{}\x1b\u202e", max_size=40),
    st.sampled_from(["", "https://evil.example/a", "www.evil.example", "data:text/html,x", "{0.__class__}", "\ud800"]),
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 2**63, 10**30, 10**400, 1e308, 5e-324]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, SHORT_TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(SHORT_TEXT, inner, max_size=4)),
    max_leaves=8,
)
DEPTHS = st.sampled_from([3, 60, 64, 65, 300, 700, 900, 940, 960, 980, 1000, 5000, 100_000])
PAIRS = st.sampled_from([("[", "]"), ('{"a":', "}")])
STRANGE_JSON = st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e999999999999", "0e-99999", "9" * 5000, "1." + "3" * 5000]
)


def deep(depth: int, pair: tuple[str, str]) -> str:
    return pair[0] * depth + "1" + pair[1] * depth


JSON = st.one_of(VALUES.map(json.dumps), st.builds(deep, DEPTHS, PAIRS), STRANGE_JSON)


def object_of(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members) + "}"


def objects(**good: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """JSON objects whose members have these names: mostly good, some with anything, some left out or twice."""
    pairs = [
        st.tuples(st.just(name), st.one_of(value.map(json.dumps), value.map(json.dumps), JSON))
        for name, value in good.items()
    ]
    return st.one_of(
        st.tuples(*pairs).map(list).map(object_of),
        st.lists(st.one_of(*pairs, st.tuples(SHORT_TEXT, JSON)), max_size=len(pairs) + 2).map(object_of),
    )


@st.composite
def damaged(draw: st.DrawFn, whole: Octets) -> bytes:
    """Octets of which some were cut off, changed or put in."""
    octets = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(octets)))
        octets[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(octets[: draw(st.integers(0, len(octets)))]) if draw(st.booleans()) else bytes(octets)


def octets_of(texts: st.SearchStrategy[str]) -> Octets:
    """JSON as octets: right, in other encodings, damaged, and octets that never were any."""
    plain = st.one_of(texts, texts, texts, JSON)
    right = plain.map(lambda text: text.encode("utf-8", "surrogatepass"))
    other = st.builds(
        lambda text, encoding: text.encode(encoding, "surrogatepass"),
        plain,
        st.sampled_from(["utf-8-sig", "utf-16", "utf-32", "utf-16-le"]),
    )
    return st.one_of(right, right, right, other, damaged(right), st.binary(max_size=200))


# --- callback URLs ---

OURS = Provider(
    name="data",
    title="Data",
    authorization_endpoint="https://login.example/authorize",
    token_endpoint="https://login.example/token",
    api_base="https://api.example",
    issuer="https://login.example",
    jwks_uri="https://login.example/jwks",
    iss_in_response=True,
)
EXPECTED = callback.Expected(REDIRECT_URI, OURS.authorization_endpoint, "the-state", OURS.issuer, iss_required=True)
PARAMETER_NAMES = st.sampled_from(
    ["code", "state", "iss", "error", "error_description", "access_token", "id_token", "session_state"]
)
BASES = st.one_of(
    st.just(REDIRECT_URI),
    st.just(REDIRECT_URI),
    st.sampled_from(
        [
            "",
            "//",
            "http://[",
            "http://[::1]/",
            "http://127.0.0.1:99999/callback",
            "http://127.0.0.1:x/",
            "http://a@127.0.0.1:51234/callback",
            "http://\u2100.example/",
            "https://login.example/authorize",
            "javascript:alert(1)",
            "HTTP://127.0.0.1:51234/callback",
            "http://127.0.0.1:51234/callback/",
            "ht\ntp://127.0.0.1:51234/callback",
            "http://\udc80/callback",
            "http://" + "a" * 300,
        ]
    ),
    SHORT_TEXT,
)
WRAPS = st.sampled_from(
    [("", ""), ("<", ">"), ("\x1b[200~", "\x1b[201~"), (" \n", "\u200b"), ('"', '"'), ("\ud800", "")]
)


def put_together(base: str, mark: str, query: str, wrap: tuple[str, str]) -> str:
    return f"{wrap[0]}{base}{mark}{query}{wrap[1]}"


def queries(values: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    """Query strings; `values` says what the parameters have besides anything at all."""
    pair = PARAMETER_NAMES.flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(values.get(name, SHORT_TEXT), values.get(name, SHORT_TEXT)))
    )
    pairs = st.lists(st.one_of(pair, st.tuples(SHORT_TEXT, SHORT_TEXT)), max_size=6)
    right = st.fixed_dictionaries(values).map(lambda named: list(named.items()))
    written = st.builds(lambda one, more: one + more, right, pairs) | right | pairs
    return st.one_of(
        written.map(lambda pairs: urlencode(pairs, errors="replace")),
        written.map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)),
        st.integers(90, 2000).map(lambda number: "a=1&" * number),
        ANY_TEXT,
    )


def callbacks(**values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    made = st.builds(put_together, BASES, st.sampled_from(["?", "?", "?", "#", "", ";"]), queries(values), WRAPS)
    filled = st.builds(lambda text, times: text * times, SHORT_TEXT, st.sampled_from([100, 1000, 20_000]))
    return st.one_of(made, made, made, filled, ANY_TEXT)


@holds_for(
    pasted=callbacks(
        code=st.text("abc", min_size=1, max_size=4), state=st.just("the-state"), iss=st.just("https://login.example")
    )
)
@example(pasted="http://[x/")
@example(pasted=REDIRECT_URI + "?" + "a=1&" * 200)
def test_any_callback_is_read_or_refused(pasted: str) -> None:
    code = told(lambda: callback.read_callback(pasted, EXPECTED), LoginError)
    if code is not None:
        assert "the-state" in pasted
        assert code.reveal()
        assert pasted.isascii() or callback.clean(pasted)


STATE = "@state@"  # stands for the state of the attempt, which nobody knows beforehand


@holds_for(
    pasted=callbacks(
        code=SHORT_TEXT, state=st.just(STATE), error=st.sampled_from(["access_denied", "x", "\ud800", "server_error"])
    )
)
@example(pasted=f"{REDIRECT_URI}?code=c&state={STATE}&iss=https://evil.example")
def test_an_attempt_refuses_every_callback_without_the_iss_that_was_promised(pasted: str) -> None:
    attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=OURS)
    link = attempt.get_login_url()
    state = re.search("state=([^&]+)", link)
    assert state
    # `iss` is never ours in here, so nothing is ever sent.
    real = pasted.replace(STATE, state[1]).replace(quote(STATE), state[1])
    assert told(lambda: attempt.handle_callback(real), LoginError) is None
    assert attempt.tokens is None
    assert attempt.open or state[1] in real


# --- metadata ---

HOSTS = st.sampled_from(
    ["login.example", "127.0.0.1", "[::1]", "[v1.x]", "a..b", "0x7f.1", "x:0", "x:99999", "a@b", "%31", "[", "\u2100"]
)
URLS = st.one_of(
    st.builds(
        lambda scheme, host, rest: f"{scheme}://{host}/{rest}",
        st.sampled_from(["https", "https", "http", "ftp", ""]),
        HOSTS,
        st.one_of(st.just("x"), SHORT_TEXT),
    ),
    st.just("https://login.example/x"),
    SHORT_TEXT,
)
GOOD_URL = st.just("https://login.example/x")
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(metadata_module.ENDPOINTS, GOOD_URL | GOOD_URL | GOOD_URL | URLS | VALUES),
    "code_challenge_methods_supported": st.one_of(st.just(["S256"]), VALUES),
    "authorization_response_iss_parameter_supported": st.one_of(st.booleans(), VALUES),
}
ISSUERS = st.sampled_from(["https://login.example", "http://127.0.0.1:1", "https://10.0.0.1", "https://[::1]:8443/a"])


def good_provider(found: Provider, issuer: str) -> None:
    assert found.issuer == issuer
    for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.revocation_endpoint):
        assert url is None or transport.is_allowed(url, named_by=issuer)
    assert found.openid is (found.jwks_uri is not None)
    assert found.s256 in (True, False, None)
    assert isinstance(found.iss_in_response, bool)
    assert isinstance(found.code_goes_to, str)
    assert LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=found).get_login_url().isascii()


@holds_for(
    metadata=st.one_of(
        st.fixed_dictionaries({}, optional=MEMBERS),
        st.fixed_dictionaries(MEMBERS),
        st.fixed_dictionaries({"authorization_endpoint": URLS, "token_endpoint": URLS, "jwks_uri": VALUES}),
        st.dictionaries(SHORT_TEXT, VALUES, max_size=4),
    ),
    issuer=ISSUERS,
)
def test_any_metadata_describes_a_provider_or_is_refused(metadata: dict[str, Any], issuer: str) -> None:
    before = copy.deepcopy(metadata)
    fields = told(lambda: metadata_module.fields_of(metadata, issuer), DiscoveryError)
    assert repr(metadata) == repr(before)
    if fields is not None:
        good_provider(Provider(name="x", title="x", **fields), issuer)


@holds_for(url=URLS, named_by=st.none() | ISSUERS | URLS)
def test_any_url_is_allowed_or_not(url: str, named_by: str | None) -> None:
    allowed = transport.is_allowed(url, named_by=named_by)
    origin = transport.Origin.of(url)
    assert str(origin)
    if allowed:
        assert origin.host
        assert url.isascii()
        assert origin.scheme == "https" or transport.is_loopback(url)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", "a.." + "b" * 70])
@pytest.mark.parametrize("what", ["metadata", "token endpoint"])
def test_a_host_that_no_name_server_could_know_is_unreachable(host: str, what: str) -> None:
    url = f"https://{host}/x"
    described = Provider(name="x", title="x", authorization_endpoint=url, token_endpoint=url, api_base=url)
    endpoint = TokenEndpoint(described, CLIENT_ID)
    with pytest.raises(LoginError) as refused:
        Provider.discover(url) if what == "metadata" else endpoint.refresh(Secret("r"))
    assert refused.value.code == "unreachable"


# --- octets from a server ---


class Server:
    """Answers every request with the same octets, whatever they are, and hangs up."""

    def __init__(self) -> None:
        self.octets = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the end
                return
            # A thread for each: a client that refused an answer may be slow to hang up.
            threading.Thread(target=self._answer, args=(connection, self.octets), daemon=True).start()

    def _answer(self, connection: socket.socket, octets: bytes) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(2)
            self._exchange(connection, octets)

    def _exchange(self, connection: socket.socket, octets: bytes) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (more := connection.recv(65536)):
                return
            request += more
        head, _, form = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(form) < int(length[1]) and (more := connection.recv(65536)):
            form += more
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            """Until the client hangs up as well: a reset would take back what was sent."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


STATUS_LINES = st.one_of(
    st.just(b"HTTP/1.1 200 OK"),
    st.just(b"HTTP/1.1 200 OK"),
    st.sampled_from(
        [100, 101, 103, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 407, 429, 500, 503, 599, 999]
    ).map(lambda status: b"HTTP/1.1 %d x" % status),
    st.sampled_from([b"HTTP/1.0 200", b"HTTP/0.9 200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 -1 OK", b"ICY 200 OK", b""]),
    st.binary(max_size=30),
)
HEADER = st.one_of(
    st.builds(
        lambda name, value: name + b": " + value,
        st.sampled_from([b"Location", b"Date", b"Set-Cookie", b"Content-Type", b"X", b"Content-Length", b"Connection"]),
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [
                    b"http://[",
                    b"//[/",
                    b"\xff\xfe",
                    b"http://x:y/",
                    b"/" * 300,
                    b"/next",
                    b"Mon, 01 Jan 99999 00:00:00 GMT",
                    b"Mon, 01 Jan 0000 00:00:00 -9999",
                    b"1 2 3 4 5",
                    b"-1",
                    b"99999999999999999999",
                    b"5, 6",
                    b"x" * 70_000,
                ]
            ),
        ),
    ),
    st.sampled_from(
        [
            b"Content-Encoding: gzip",
            b"Content-Encoding: deflate",
            b"Content-Encoding: br, gzip, x",
            b"Content-Encoding: zstd",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: x",
            b" folded",
            b"no colon",
            b": no name",
        ]
    ),
    st.binary(max_size=30),
)


@st.composite
def answers(draw: st.DrawFn, bodies: Octets) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    body = draw(bodies)
    lines = [draw(STATUS_LINES), *draw(st.lists(HEADER, max_size=3))]
    if draw(st.booleans()):
        lines.append(b"Content-Length: %d" % (len(body) + draw(st.sampled_from([0, 0, 0, 1, -1]))))
    ending = draw(st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\r\n\r\n", b"\n\n", b"\r\n", b""]))
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if draw(st.booleans()) else body
    return b"\r\n".join(lines) + ending + (chunked if b"Transfer-Encoding: chunked" in lines else body)


ISSUER = "@issuer@"  # stands for the server's own address
METADATA = {"issuer": st.just(ISSUER), **dict.fromkeys(metadata_module.ENDPOINTS, st.just(ISSUER + "/x") | URLS)}


@holds_for(octets=answers(octets_of(objects(**METADATA))))
@example(octets=b"HTTP/1.1 302 x\r\nLocation: \xff\r\n\r\n")
@example(octets=b"HTTP/1.1 301 x\r\nLocation: http://[\r\n\r\n")
@example(octets=b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n-1e999")
def test_any_octets_describe_a_provider_or_are_refused(octets: bytes, server: Server) -> None:
    server.octets = octets.replace(ISSUER.encode(), server.url.encode())
    if (found := told(lambda: Provider.discover(server.url), DiscoveryError)) is not None:
        good_provider(found, server.url)


TOKEN_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "access_token": st.text("abc", min_size=1),
    "token_type": st.sampled_from(["Bearer", "bearer"]),
    "expires_in": st.one_of(st.integers(0, 10**12), st.sampled_from(["60", "6e1", "٣", 1.5, 1e300, -5, True, " 7_0 "])),
    "refresh_token": SHORT_TEXT,
    "id_token": SHORT_TEXT,
    "scope": st.one_of(st.just("openid profile"), SHORT_TEXT, st.just("x " * 5000)),
}
ERROR_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "error": st.one_of(st.sampled_from(["invalid_grant", "invalid_client", "slow_down"]), SHORT_TEXT),
    "error_description": SHORT_TEXT,
}
TOKEN_BODIES = octets_of(st.one_of(objects(**TOKEN_MEMBERS), objects(**ERROR_MEMBERS)))
STAGES = st.sampled_from(["token", "refresh"])
STATUSES = st.one_of(st.just(200), st.integers(100, 999))


def good_tokens(answer: TokenAnswer | None) -> None:
    if answer is None:
        return
    for secret in (answer.access_token, answer.refresh_token, answer.id_token):
        assert secret is None or (secret.reveal().isascii() and secret.reveal().isprintable() and secret)
    assert answer.expires_at is None or answer.expires_at.tzinfo
    for name in answer.scope or ():
        assert name.isprintable()
        assert len(name) <= token_endpoint.LONGEST_SCOPE


@holds_for(octets=answers(TOKEN_BODIES), stage=STAGES)
@example(octets=b"HTTP/1.1 302 x\r\nLocation: \xff\r\n\r\n", stage="token")
def test_any_octets_are_tokens_or_refused(octets: bytes, stage: str, server: Server) -> None:
    server.octets = octets
    url = server.url + "/token"
    endpoint = TokenEndpoint(
        Provider(name="x", title="x", authorization_endpoint=url, token_endpoint=url, api_base=url), CLIENT_ID
    )
    if stage == "refresh":
        good_tokens(told(lambda: endpoint.refresh(Secret("r")), LoginError))
    else:
        good_tokens(told(lambda: endpoint.exchange(Secret("c"), Secret("v"), REDIRECT_URI), LoginError))


def test_no_more_of_a_redirect_is_read_than_of_any_answer(server: Server) -> None:
    server.octets = b"HTTP/1.1 302 x\r\nLocation: /next\r\n\r\n" + b"x" * 5000
    with pytest.raises(LoginError) as refused:
        transport.fetch("GET", server.url, stage="token", limit=1000)
    assert refused.value.code == "too_large"


@holds_for(status=STATUSES, body=TOKEN_BODIES, stage=STAGES, headers=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=2))
@example(status=200, body=b'{"access_token":"a","token_type":"Bearer","expires_in":1e999}', stage="token", headers={})
def test_any_answer_is_tokens_or_refused(status: int, body: bytes, stage: str, headers: dict[str, str]) -> None:
    answer = Answer(status, headers, body, None)
    tokens = told(lambda: token_endpoint._tokens(answer, stage), LoginError)
    good_tokens(tokens)
    assert tokens is None or status == 200


@holds_for(date=st.one_of(ANY_TEXT, st.text("0123456789 :,-+JanMoGT", max_size=40), st.none()))
def test_any_date_tells_the_clock_or_nothing(date: str | None) -> None:
    ahead = transport._clock_ahead(date)
    assert ahead is None or math.isfinite(ahead)


# --- ID tokens ---

SIGNERS = {"RS256": rsa_key, "ES256": ec_key, "EdDSA": okp_key}
ACCESS = "the-access-token"
CLAIMS_EXPECTED = ExpectedClaims("https://login.example", CLIENT_ID, "the-nonce", Secret(ACCESS))
FAR = 4_000_000_000
CLAIMS: dict[str, st.SearchStrategy[Any]] = {
    "iss": st.just("https://login.example"),
    "sub": st.just("person-1"),
    "aud": st.sampled_from([CLIENT_ID, [CLIENT_ID]]),
    "exp": st.sampled_from([FAR, FAR + 0.5]),
    "iat": st.just(1),
    "nonce": st.just("the-nonce"),
}
CLAIM_BODIES = octets_of(
    objects(**CLAIMS) | objects(**CLAIMS, at_hash=st.just(at_hash(ACCESS)), azp=st.just(CLIENT_ID))
)


def headers(algorithm: str) -> Octets:
    kid = SIGNERS[algorithm]().as_dict(private=False)["kid"]
    good = {"alg": st.just(algorithm), "kid": st.just(kid)}
    return octets_of(objects(**good) | objects(**good, typ=st.just("JWT")) | objects(**good, crit=VALUES))


def sign(algorithm: str, header: bytes, claims: bytes) -> str:
    message = f"{base64url(header)}.{base64url(claims)}"
    return f"{message}.{base64url(jws.JWSRegistry.algorithms[algorithm].sign(message.encode(), SIGNERS[algorithm]()))}"


def good_header(algorithm: str) -> bytes:
    return json.dumps({"alg": algorithm, "kid": SIGNERS[algorithm]().as_dict(private=False)["kid"]}).encode()


GOOD_CLAIMS = {
    "iss": "https://login.example",
    "sub": "person-1",
    "aud": CLIENT_ID,
    "exp": FAR,
    "iat": 1,
    "nonce": "the-nonce",
}
GOOD_TOKENS = [sign(algorithm, good_header(algorithm), json.dumps(GOOD_CLAIMS).encode()) for algorithm in SIGNERS]


def as_answer(value: Any) -> bytes:
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture
def keys(server: Server) -> IssuerKeys:
    server.octets = as_answer({"keys": [public(key()) for key in SIGNERS.values()]})
    return IssuerKeys(server.url)


def claims_of(token: str, keys: IssuerKeys) -> Any:
    claims = told(lambda: verify_id_token(Secret(token), keys, CLAIMS_EXPECTED), LoginError)
    if claims is not None:
        assert (claims["iss"], claims["nonce"]) == ("https://login.example", "the-nonce")
        assert claims["exp"] > time.time()
        assert isinstance(claims["sub"], str)
    return claims


@pytest.mark.parametrize("token", GOOD_TOKENS)
def test_the_good_tokens_of_these_properties_are_good(token: str, keys: IssuerKeys) -> None:
    assert verify_id_token(Secret(token), keys, CLAIMS_EXPECTED) == GOOD_CLAIMS


@holds_for(
    token=st.one_of(
        ANY_TEXT,
        st.text(".aeyJ=-_+/é\ud800", max_size=60),
        st.builds(lambda text, times: text * times, SHORT_TEXT, st.sampled_from([1000, 70_000])),
        st.lists(st.binary(max_size=60).map(base64url), min_size=3, max_size=3).map(".".join),
    )
)
def test_no_string_is_an_id_token(token: str, keys: IssuerKeys) -> None:
    assert claims_of(token, keys) is None


@holds_for(
    token=st.sampled_from(list(SIGNERS)).flatmap(
        lambda algorithm: st.builds(
            sign,
            st.just(algorithm),
            st.just(good_header(algorithm)) | st.just(good_header(algorithm)) | headers(algorithm),
            CLAIM_BODIES,
        )
    ),
    well_signed=st.sampled_from([True, True, True, False]),
)
@example(token=sign("EdDSA", good_header("EdDSA"), json.dumps({**GOOD_CLAIMS, "aud": 5}).encode()), well_signed=True)
def test_any_header_and_claims_are_believed_or_refused(token: str, well_signed: bool, keys: IssuerKeys) -> None:
    if well_signed:
        claims_of(token, keys)
    else:
        assert claims_of(token.rpartition(".")[0] + "." + base64url(b"\1" * 64), keys) is None


@holds_for(
    token=st.sampled_from(GOOD_TOKENS),
    begin=st.integers(0, 1000),
    length=st.integers(0, 4),
    put=st.text(st.sampled_from("Aa0-_.=+/ \ud800é") | ANY_CHARACTER, max_size=4),
)
def test_a_changed_token_says_nothing_else(token: str, begin: int, length: int, put: str, keys: IssuerKeys) -> None:
    at = begin % (len(token) + 1)
    changed = token[:at] + put + token[at + length :]
    claims = claims_of(changed, keys)
    if claims is None:
        return
    (signed, _, signature), (as_before, _, before) = changed.rpartition("."), token.rpartition(".")
    assert (dict(claims), signed) == (GOOD_CLAIMS, as_before)
    # Padding, and bits of the last character, stand for nothing.
    assert signature.rstrip("=")[:-1] == before[:-1]


KEY_MEMBERS = {
    "kty": st.sampled_from(["RSA", "EC", "OKP", "oct"]),
    "crv": st.sampled_from(["P-256", "Ed25519", "X25519", "P-521"]),
    **{
        name: st.sampled_from([public(key())[name] for key in SIGNERS.values() if name in public(key())])
        | st.binary(max_size=300).map(base64url)
        | VALUES
        for name in ("n", "e", "x", "y")
    },
    "use": st.just("sig"),
}
KEYS = st.builds(
    lambda key, changes: {**public(key()), **changes},
    st.sampled_from(list(SIGNERS.values())),
    st.fixed_dictionaries({}, optional=KEY_MEMBERS),
)


@holds_for(
    token=st.sampled_from(GOOD_TOKENS),
    answer=st.one_of(
        KEYS.map(lambda key: as_answer({"keys": [key]})),
        st.lists(KEYS | VALUES, max_size=4).map(lambda keys: as_answer({"keys": keys})),
        answers(octets_of(objects(keys=st.lists(KEYS, max_size=3)))),
    ),
)
def test_any_keys_prove_a_good_token_or_are_refused(token: str, answer: bytes, server: Server) -> None:
    server.octets = answer
    claims = claims_of(token, IssuerKeys(server.url))
    assert claims is None or dict(claims) == GOOD_CLAIMS


# --- text and JSON ---

# JupyterLab makes a link of what this finds in an output, wherever it stands.
LINKED = re.compile(r"(?i)[a-z][a-z0-9+.-]{2,40}://|data:|www\.")


def deep_value(depth: int) -> Any:
    value: Any = "inside"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@holds_for(
    value=st.one_of(
        ANY_TEXT,
        SHORT_TEXT,
        VALUES,
        st.binary(max_size=40),
        st.builds(lambda text, times: text * times, SHORT_TEXT, st.integers(1, 900)),
        st.text("w.data:/WWW.:// \u200b\x00ſ", max_size=60),
    ),
    limit=st.integers(1, 300),
)
def test_any_text_is_made_harmless(value: object, limit: int) -> None:
    shown = from_server(value, limit)
    assert len(shown) <= limit
    assert not any(unicodedata.category(c)[0] in "C" for c in shown)
    assert not LINKED.search(shown)
    assert shown == shown.encode().decode()


@pytest.mark.parametrize("make", [lambda: 10**5000, lambda: [10**5000], lambda: deep_value(20_000)])
def test_a_value_that_python_does_not_write_is_called_by_its_type(make: Callable[[], object]) -> None:
    assert from_server(make()) in ("int", "list", "dict")


@pytest.mark.parametrize("make", [lambda: 10**5000, lambda: [10**5000], lambda: deep_value(20_000)])
def test_a_value_that_python_does_not_write_is_no_exact_json(make: Callable[[], object]) -> None:
    with pytest.raises(ApiError):
        exact_json.encode(make())


EXACT = octets_of(objects(id=SHORT_TEXT, total=NUMBERS, items=st.lists(VALUES, max_size=3)))


def exact(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and exact(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(exact, value))
    return value is None or isinstance(value, (str, bool, Decimal))


@holds_for(body=EXACT, as_text=st.booleans())
def test_any_body_is_exact_json_or_refused(body: bytes, as_text: bool) -> None:
    given_body = body.decode("utf-8", "replace") if as_text else body
    try:
        value = exact_json.decode(given_body)
    except ValueError:  # what it promises; `ApiResponse.json` makes an error of ours of it
        return
    assert exact(value)
    again = told(lambda: exact_json.encode(value))
    assert again is None or exact_json.decode(again) == value


@holds_for(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), NUMBERS, SHORT_TEXT, st.decimals(), st.binary(max_size=3)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.tuples(inner),
            st.dictionaries(st.one_of(SHORT_TEXT, st.integers()), inner, max_size=3),
        ),
        max_leaves=6,
    )
    | st.sampled_from([60, 63, 64, 70]).map(deep_value)
)
@example(value=Decimal("sNaN"))
@example(value=Decimal("1E+999999"))
def test_any_value_is_written_as_exact_json_or_refused(value: Any) -> None:
    written = told(lambda: exact_json.encode(value), ApiError)
    assert written is None or exact(exact_json.decode(written))


ISSUE = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("field", "message", "source", "i18nKey"), SHORT_TEXT | VALUES)
)
REFUSALS = octets_of(
    objects(
        message=SHORT_TEXT,
        error=SHORT_TEXT,
        requestId=SHORT_TEXT,
        details=st.lists(ISSUE | VALUES, max_size=30),
        IssueList=st.lists(ISSUE | VALUES, max_size=3),
    )
    | objects(source=SHORT_TEXT, i18nKey=SHORT_TEXT)
)


def response(kind: type[requests.Response], status: int, body: bytes, path: str, reason: str | None) -> Any:
    made = kind()
    made.status_code, made._content, made.reason = status, body, reason  # type: ignore[assignment]
    made.url = f"https://api.example/{path}"
    return made


REASONS = st.one_of(st.none(), ANY_TEXT)


@holds_for(status=st.integers(400, 999), body=REFUSALS, path=ANY_TEXT, reason=REASONS, key=st.booleans())
def test_any_error_body_is_made_one_error(status: int, body: bytes, path: str, reason: str | None, key: bool) -> None:
    def act() -> None:
        raise refusals.refusal(response(requests.Response, status, body, path, reason), key=key)

    assert told(act, ApiError) is None


@holds_for(status=STATUSES, body=EXACT, path=ANY_TEXT)
def test_any_body_of_the_api_is_read_or_refused(status: int, body: bytes, path: str) -> None:
    answer = response(ApiResponse, status, body, path, "OK")
    assert exact(told(answer.json, ApiError))
    shown = answer._repr_html_()
    assert shown is None or isinstance(shown, str)
