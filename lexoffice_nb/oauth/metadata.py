"""What a provider says of itself: OpenID Connect Discovery 1.0 and RFC 8414, both documents of one issuer merged.

Kept for the session: a second sign-in at the same provider asks for nothing again, until one has failed.
"""

from __future__ import annotations

import json
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from lexoffice_nb.errors import DiscoveryError, LoginError
from lexoffice_nb.oauth.trace import Recorder, Step, observed
from lexoffice_nb.oauth.transport import Origin, is_allowed
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA_LIMIT = 256 * 1024
LONGEST_HOST = 260  # with a port
KEPT_SECONDS = 3600.0
OPENID_SUFFIX = "/.well-known/openid-configuration"
OAUTH_INFIX = "/.well-known/oauth-authorization-server"
ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
    "end_session_endpoint",
    "jwks_uri",
)
# What only the client says in an authorization request: in an endpoint it would be said twice, and the server chooses.
OWN_PARAMETERS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "max_age",
        "nonce",
        "prompt",
        "redirect_uri",
        "request",
        "request_uri",
        "resource",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)

_kept: dict[tuple[str, str | None], tuple[float, str]] = {}  # as JSON, which nobody who got it can change
_steps: dict[tuple[str, str | None], tuple[Step, ...]] = {}  # how it was read
_lock = threading.Lock()


def metadata_of(issuer: str, metadata_url: str | None = None) -> Mapping[str, Any]:
    """Gives what an issuer says of itself, read now or less than an hour ago.

    Args:
        issuer: the issuer identifier.
        metadata_url: where its description is, if not at the two standard places.

    Raises:
        DiscoveryError: if it does not answer, or what it answers is not to be believed.
    """
    key = (issuer, metadata_url)
    with _lock:
        read_at, kept = _kept.get(key, (0.0, None))
    try:
        if kept is None or time.monotonic() - read_at >= KEPT_SECONDS:
            recorder = Recorder()
            kept = json.dumps(_read(issuer, metadata_url, recorder))
            with _lock:
                _kept[key] = (time.monotonic(), kept)
                _steps[key] = recorder.steps()
        return MappingProxyType(json.loads(kept))
    except RecursionError:  # what could be read once may be too deep where a program is deep itself
        raise DiscoveryError("metadata_not_json", host=shown(issuer)) from None


def shown(issuer: str) -> str:
    """Gives an issuer as errors name it: its host whole, with the port and the path where they matter."""
    origin = str(Origin.of(issuer)).partition("://")[2]
    return from_server(origin, LONGEST_HOST) + from_server(urlsplit(issuer).path.rstrip("/"))


def forget_metadata(issuer: str | None = None) -> None:
    """Drops what is kept of an issuer, or of all: after a failure the next sign-in asks anew."""
    with _lock:
        for key in [key for key in _kept if issuer in (None, key[0])]:
            del _kept[key]
            _steps.pop(key, None)


def how_it_was_read(issuer: str | None) -> tuple[Step, ...]:
    """Gives the requests with which an issuer's description was read; none where that is not kept any more."""
    with _lock:
        return next((steps for (of, _), steps in _steps.items() if of == issuer), ())


def _read(issuer: str, metadata_url: str | None, recorder: Recorder) -> dict[str, Any]:
    # The OpenID document wins; what only the other one has (a revocation endpoint, say) is added.
    merged: dict[str, Any] = {}
    for document in reversed(_documents(issuer, metadata_url, recorder)):
        merged |= document
    return merged


def _standard_urls(issuer: str) -> tuple[str, str]:
    """OIDC appends to the issuer (Discovery section 4); RFC 8414 section 3 inserts before its path."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    return (
        parts._replace(path=path + OPENID_SUFFIX).geturl(),
        parts._replace(path=OAUTH_INFIX + path).geturl(),
    )


def _documents(issuer: str, metadata_url: str | None, recorder: Recorder) -> list[dict[str, Any]]:
    """Reads both documents. One is enough: where the other should be, servers answer with anything."""
    if "/.well-known/" in issuer:
        raise DiscoveryError("issuer_description", host=shown(issuer))
    documents: list[dict[str, Any]] = []
    problem = None
    for url in (metadata_url,) if metadata_url else _standard_urls(issuer):
        try:
            if document := _read_document(url, issuer, recorder):
                documents.append(document)
        except DiscoveryError as error:
            if error.code not in ("metadata_status", "metadata_not_json"):
                raise
            problem = problem or error
    if not documents:
        raise problem or DiscoveryError("no_metadata", host=shown(issuer))
    return documents


def _read_document(url: str, issuer: str, recorder: Recorder) -> dict[str, Any] | None:
    host = shown(issuer)
    try:
        answer = observed(recorder, "GET", url, stage="discovery", limit=METADATA_LIMIT)
    except LoginError as error:
        raise DiscoveryError(error.code, stage="discovery", **error.values) from None
    if answer.status in (404, 405, 410):
        return None
    if answer.status != 200:
        raise DiscoveryError("metadata_status", host=host, status=answer.status)
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise DiscoveryError("metadata_not_json", host=host)
    if document.get("issuer") != issuer:
        said = document.get("issuer")
        raise DiscoveryError("issuer_differs", host=host, said=from_server(said) if isinstance(said, str) else "–")
    return document


def fields_of(metadata: Mapping[str, Any], issuer: str) -> dict[str, Any]:
    """Gives the fields of a `Provider` that metadata determine, each endpoint checked.

    Raises:
        DiscoveryError: if an endpoint is missing, or may not be used.
    """
    host = shown(issuer)
    endpoints: dict[str, str] = {}
    for name in ENDPOINTS:
        url = metadata.get(name)
        if url is None:
            continue
        if not isinstance(url, str) or not is_allowed(url, named_by=issuer):
            raise DiscoveryError("endpoint_not_allowed", host=host, endpoint=name)
        endpoints[name] = url
    for name in ("authorization_endpoint", "token_endpoint"):
        if name not in endpoints:
            raise DiscoveryError("endpoint_missing", host=host, endpoint=name)
    if speaks_for_us(endpoints["authorization_endpoint"]):
        raise DiscoveryError("endpoint_parameters", host=host, endpoint="authorization_endpoint")
    methods = metadata.get("code_challenge_methods_supported")
    return {
        **endpoints,
        "issuer": issuer,
        "api_base": str(Origin.of(issuer)),
        "openid": "jwks_uri" in endpoints,
        **({} if "jwks_uri" in endpoints else {"scopes": ("profile",)}),
        "iss_in_response": metadata.get("authorization_response_iss_parameter_supported") is True,
        "s256": "S256" in methods if isinstance(methods, list) else None,
        "metadata": MappingProxyType(dict(metadata)),
    }


def speaks_for_us(authorization_endpoint: str) -> bool:
    """Whether an endpoint has a fragment, or a parameter that servers could take for the client's own."""
    query = urlsplit(authorization_endpoint).query.replace(";", "&")  # some servers take both
    names = {name.strip().lower().partition("[")[0] for name, _ in parse_qsl(query, keep_blank_values=True)}
    return "#" in authorization_endpoint or not names.isdisjoint(OWN_PARAMETERS)
