"""The one way to a provider: HTTP without redirects, netrc or cookies, with a size limit and a deadline.

`trust_env` is off, since a `~/.netrc` entry would replace a bearer header and a copied `session.proxies` ignores
NO_PROXY. Proxies and the CA bundle are resolved here instead, per origin; loopback never goes to a proxy.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import os
import socket
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lexoffice_nb.errors import LoginError, shielded
from lexoffice_nb.log import log, redact_others
from lexoffice_nb.oauth.tokens import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

CONNECT_SECONDS = 10.0
DEADLINE_SECONDS = 30.0
PORTS = {"http": 80, "https": 443}
# What the `hosts` file of a usual system calls this machine, besides `localhost` itself.
_THIS_MACHINE = frozenset({"localhost", "ip6-localhost", "ip6-loopback", "localhost4", "localhost6"})
# Multicast DNS (RFC 6762), and the names that stand for a network's own (RFC 8375, ICANN's `.internal`).
_NEAR = (".local", ".internal", ".home.arpa")
# NAT64 of a network's own (RFC 8215), which older versions of `ipaddress` take for public.
_NAT64_HERE = ipaddress.IPv6Network("64:ff9b:1::/48")
# IPv6 networks whose addresses carry one of IPv4, and at which octet.
_CARRIERS = (
    (ipaddress.IPv6Network("::/96"), 12),  # IPv4-compatible (RFC 4291)
    (ipaddress.IPv6Network("::ffff:0:0/96"), 12),  # IPv4-mapped (RFC 4291)
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 12),  # IPv4-translated (RFC 7915)
    (ipaddress.IPv6Network("64:ff9b::/96"), 12),  # NAT64 (RFC 6052)
    (ipaddress.IPv6Network("2002::/16"), 2),  # 6to4 (RFC 3056)
)


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of a URL (RFC 6454), compared as a whole."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: str) -> Origin:
        """Reads the origin of a URL; what is not a URL with a host gives an origin equal to no real one."""
        try:
            parts = urlsplit(url)
            port = PORTS.get(parts.scheme) if parts.port is None else parts.port
            return cls(parts.scheme, parts.hostname or "", port)
        except ValueError:
            return cls("", "", None)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS.get(self.scheme) else f":{self.port}")


def is_loopback(url: str) -> bool:
    """Tells whether a URL's host is this machine for sure: a loopback address, or `localhost`."""
    host = Origin.of(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_allowed(url: str, *, named_by: str | None = None) -> bool:
    """Tells whether a URL may be opened or called: https, or http to loopback.

    Args:
        url: the URL.
        named_by: the URL whose answer names it: an issuer for its metadata. It may lead to loopback only from there,
            and into a private network only from within; else a stranger could have this machine ask services of its
            own.
    """
    # One reading for all: what browsers, urllib and urllib3 take apart differently is no URL of ours.
    if not url.isascii() or not url.isprintable() or any(c in url for c in ' \\"<>^`{|}'):
        return False
    try:
        parts = urlsplit(url)
        valid = parts.hostname and parts.port != 0
    except ValueError:
        return False
    if not valid or "@" in parts.netloc or "%" in parts.netloc:
        return False
    if named_by is not None and _nearness(url) > _nearness(named_by):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))


def _nearness(url: str) -> int:
    """How near a URL's host is: 0 public, 1 in a private network, 2 this machine, however the address is written."""
    host = Origin.of(url).host.rstrip(".")
    if host in _THIS_MACHINE or host.endswith((".localhost", ".localdomain")):
        return 2
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 127.1, 0x7f000001, 2130706433
        except OSError:
            # A name without a dot, or below one of these, is looked up on this machine or in its own network.
            return 1 if "." not in host or host.endswith(_NEAR) else 0
    if isinstance(address, ipaddress.IPv6Address):
        address = _carried(address) or address
    if address.is_loopback or address.is_unspecified:
        return 2
    return 0 if address.is_global and address not in _NAT64_HERE else 1


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, which a gateway or this machine would turn it into."""
    for network, begin in _CARRIERS:
        if address in network and not (address.is_loopback or address.is_unspecified):
            return ipaddress.IPv4Address(address.packed[begin : begin + 4])
    return None


@functools.lru_cache(maxsize=64)
def _proxies(origin: str, environment: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    import requests.utils

    return requests.utils.get_environ_proxies(origin + "/")


def proxies_for(url: str) -> dict[str, str]:
    """Gives the proxies for a URL: none for loopback, else what the environment says, NO_PROXY included."""
    if is_loopback(url):
        return {}
    # The environment is part of the key, so that a proxy set in a cell counts from the next request on.
    environment = tuple(sorted((k, v) for k, v in os.environ.items() if k.lower().endswith("_proxy")))
    return dict(_proxies(str(Origin.of(url)), environment))


def ca_bundle() -> str | None:
    """Gives the CA bundle that the environment names instead of the built-in one, or None."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")


def proxy_host(url: str) -> str | None:
    """Names the host of the proxy that requests to a URL go through (never its user or password), or None."""
    proxy = proxies_for(url).get(urlsplit(url).scheme)
    if not proxy:
        return None
    origin = Origin.of(proxy if "://" in proxy else f"http://{proxy}")
    return f"{origin.host}:{origin.port}" if origin.port else origin.host


def refuse_cookies(session: requests.Session) -> None:
    """Makes a session keep and send no cookie: a token is all that identifies it."""
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))


@dataclass(frozen=True)
class Answer:
    """An answer, without the request that led to it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    clock_ahead: float | None
    """Seconds by which this machine's clock is ahead of the server's `Date`, or None."""

    def json(self) -> Any:
        """Parses the body.

        Raises:
            ValueError: if it is not JSON, or nested so deeply that it must be an attack.
        """
        try:
            return json.loads(self.body, parse_constant=_no_number)
        except RecursionError:
            raise ValueError("JSON nested too deeply") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@shielded
def fetch(
    method: str,
    url: str,
    *,
    stage: str,
    limit: int,
    form: Mapping[str, str | Secret] | None = None,
    headers: Mapping[str, str | Secret] | None = None,
) -> Answer:
    """Sends one request and reads the whole answer. Redirects are not followed; the caller sees the status.

    Args:
        method: GET or POST.
        url: an absolute URL that was checked with `is_allowed`.
        stage: what the error names if there is no answer.
        limit: the most octets, decoded, that the body may have.
        form: the form to send; its secrets are revealed in here only.
        headers: further headers.

    Raises:
        LoginError: `unreachable`, `timeout`, `tls` or `too_large`, with the stage.
    """
    redact_others()
    import requests
    import urllib3

    from lexoffice_nb.oauth.deadline import Deadline, DeadlineAdapter, OneAnswerSession

    host = Origin.of(url).host
    log.debug("[%s] %s %s%s %s", stage, method, Origin.of(url), urlsplit(url).path, _told(form))
    begun = time.monotonic()
    deadline = Deadline(DEADLINE_SECONDS)
    try:
        with deadline, OneAnswerSession() as session:
            session.trust_env = False
            refuse_cookies(session)
            for scheme in PORTS:
                session.mount(f"{scheme}://", DeadlineAdapter(deadline))
            response = session.request(
                method,
                url,
                data=_plain(form) if form is not None else None,
                headers={"Accept": "application/json", **_plain(headers or {})},
                allow_redirects=False,
                stream=True,
                timeout=(CONNECT_SECONDS, DEADLINE_SECONDS),
                proxies=proxies_for(url),
                verify=ca_bundle() or True,
            )
            with response:
                body = read_whole(response, limit)
        if deadline.over:
            raise TimeoutError  # what was cut off can look whole
        if body is None:
            log.debug("[%s] HTTP %s, more than %s octets", stage, response.status_code, limit)
            raise LoginError("too_large", stage=stage, host=host, limit=limit)
        passed = (time.monotonic() - begun) * 1000
        log.debug("[%s] HTTP %s in %.0f ms, %s octets", stage, response.status_code, passed, len(body))
        return Answer(response.status_code, dict(response.headers), body, _clock_ahead(response.headers.get("Date")))
    except requests.exceptions.SSLError:
        code = "tls"
    except (requests.exceptions.Timeout, TimeoutError):
        code = "timeout"
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError):
        code = "unreachable"  # urllib3's own: a host with an empty or an endless label
    if deadline.over:
        code = "timeout"  # whatever the end of its connection looked like
    log.debug("[%s] no answer (%s) after %.0f ms", stage, code, (time.monotonic() - begun) * 1000)
    error = LoginError(code, stage=stage, host=host, seconds=max(1, round(time.monotonic() - begun)))
    error.sent = deadline.connected
    raise error


def _told(form: Mapping[str, str | Secret] | None) -> str:
    return "without a form" if form is None else f"with the fields {' '.join(sorted(form))}"


def _plain(values: Mapping[str, str | Secret]) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


def read_whole(response: requests.Response, limit: int) -> bytes | None:
    """Reads the decoded body of a streamed response; None where it has more octets than the limit.

    Raises:
        OSError: if it breaks off, or its encoding is damaged; `TimeoutError` if it did not come in time.
    """
    import urllib3

    body = bytearray()
    try:
        for chunk in response.raw.stream(65536, decode_content=True):
            body += chunk
            if len(body) > limit:
                return None
    except urllib3.exceptions.ReadTimeoutError:
        raise TimeoutError from None
    except (urllib3.exceptions.HTTPError, ValueError):  # ValueError: a chunk of a negative length, from http.client
        raise OSError from None
    return bytes(body)


def _clock_ahead(date: str | None) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
