"""What strangers send: URLs that have to stay on this machine, cookies, and JSON."""

from __future__ import annotations

import re
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from flask import request

from lexoffice_nb.sandbox.workshop.serving import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable

# In the order in which a browser tries them; `localhost` is both (RFC 6761, section 6.3).
ADDRESSES = {"127.0.0.1": (IPV4,), "::1": (IPV6,), "localhost": (IPV6, IPV4)}
# RFC 6265, section 4.1.1: `token` and `cookie-octet`.
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
_MOST_COOKIE = 1000
_MOST_FIELDS = 20
_MOST_FIELD = 1000


def loopback(url: str) -> SplitResult | None:
    """A URL of this machine in its parts, without its fragment; None for every other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in ADDRESSES or "@" in parts.netloc or port == 0:
        return None
    return parts._replace(fragment="")


def plain_loopback(url: str) -> SplitResult | None:
    """The same for a URL that goes into a header, where only printable ASCII is safe."""
    return loopback(url) if url.isascii() and url.isprintable() else None


def cookies_of(lines: Iterable[str]) -> dict[str, str]:
    """The cookies of `Set-Cookie` headers; without those that are too long, or could not be sent back."""
    found: dict[str, str] = {}
    for line in lines:
        try:
            cookies = SimpleCookie(line)
        except CookieError:
            continue
        for name, each in cookies.items():
            is_fit = _COOKIE_NAME.fullmatch(name) and _COOKIE_VALUE.fullmatch(each.value)
            if is_fit and len(name) + len(each.value) <= _MOST_COOKIE:
                found[name] = each.value
    return found


def sent_json() -> Any:
    """The current request's body; None if it is no JSON, or nested beyond reason."""
    try:
        return request.get_json(silent=True)
    except RecursionError:
        return None


def short_form() -> dict[str, str]:
    """The current request's form, cut to what an honest one may hold."""
    fields = list(request.form.to_dict().items())[:_MOST_FIELDS]
    return {name[:_MOST_FIELD]: value[:_MOST_FIELD] for name, value in fields}
