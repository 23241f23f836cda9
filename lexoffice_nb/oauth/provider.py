"""A provider as data: where to sign in, how the client authenticates, which scopes there are, where the API is.

A provider comes from discovery (OpenID Connect Discovery 1.0 and RFC 8414) or from a preset in `providers.toml`.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from lexoffice_nb.errors import DiscoveryError, LoginError
from lexoffice_nb.oauth.local_address import proven_issuer
from lexoffice_nb.oauth.transport import Origin, fetch, is_allowed, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA_LIMIT = 256 * 1024
OPENID_SUFFIX = "/.well-known/openid-configuration"
OAUTH_INFIX = "/.well-known/oauth-authorization-server"
ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
)
# What only the client says in an authorization request: in an endpoint it would be said twice, and the server chooses.
OWN_PARAMETERS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "prompt",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)


@dataclass(frozen=True)
class Provider:
    """One provider.

    Attributes:
        name: the preset's name, or the issuer's host.
        title: what a person calls it.
        issuer: the issuer identifier, or None where the provider has none (no OpenID Connect, no RFC 8414).
        authorization_endpoint: where the browser goes (RFC 6749 section 3.1).
        token_endpoint: where codes and refresh tokens are exchanged (RFC 6749 section 3.2).
        revocation_endpoint: where tokens are revoked (RFC 7009), or None.
        userinfo_endpoint: OpenID Connect Core section 5.3, or None.
        jwks_uri: the keys that sign ID tokens, or None.
        api_base: the API that access tokens are for; they go to its origin and nowhere else.
        key_page: where a person makes an API key, or None.
        client_id: the client registered for this package, or None: then the user brings one.
        client_authentication: none, client_secret_basic or client_secret_post (RFC 6749 section 2.3.1).
        openid: whether it gives an ID token.
        scopes: what is asked for where nobody says otherwise.
        redirect_uri: the one registered redirect URI where a loopback URI with any port is not accepted, or None.
        iss_in_response: whether it promised `iss` in each authorization response (RFC 9207).
        s256: whether its metadata lists S256 (None where there is no metadata about it).
        shipped: whether it comes with the package; else a notebook or its user chose it.
    """

    name: str
    title: str
    authorization_endpoint: str
    token_endpoint: str
    api_base: str
    issuer: str | None = None
    revocation_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    jwks_uri: str | None = None
    key_page: str | None = None
    client_id: str | None = None
    client_authentication: str = "none"
    openid: bool = True
    scopes: tuple[str, ...] = ("openid", "profile")
    redirect_uri: str | None = None
    iss_in_response: bool = False
    s256: bool | None = None
    shipped: bool = False
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False, compare=False)

    @property
    def local(self) -> bool:
        """Whether the provider runs on this machine; only then may its URLs be plain http to loopback."""
        return is_loopback(self.issuer or self.authorization_endpoint)

    @property
    def code_goes_to(self) -> str:
        """The host of the token endpoint where a person should see it, else an empty text.

        Metadata could send the browser to an honest provider and the code to another (RFC 9207 section 1). Where the
        two endpoints are of one origin, or `iss` says whose the code is, they cannot be mixed up. Good providers do
        split them, so it is no reason to refuse.
        """
        token_origin = Origin.of(self.token_endpoint)
        if self.iss_in_response or token_origin == Origin.of(self.authorization_endpoint):
            return ""
        return str(token_origin).split("://", 1)[-1]

    @classmethod
    def discover(cls, issuer: str, *, name: str | None = None, title: str | None = None, **settings: Any) -> Provider:
        """Reads a provider's own description of itself: OIDC and RFC 8414 documents of one issuer, merged.

        Args:
            issuer: the issuer identifier: https, or http to loopback.
            name: what to call it; its host where nothing is given.
            title: what a person calls it.
            settings: fields of `Provider` that override what was discovered.

        Raises:
            DiscoveryError: if it does not answer, or what it answers is not to be believed.
        """
        if not is_allowed(issuer) or urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise DiscoveryError("issuer_not_allowed", host=Origin.of(issuer).host)
        documents = _documents(issuer)
        # The OpenID document wins; what only the other one has (a revocation endpoint, say) is added.
        metadata: dict[str, Any] = {}
        for document in reversed(documents):
            metadata |= document
        found = _fields(metadata, issuer)
        host = Origin.of(issuer).host
        return cls(**{"name": name or host, "title": title or host, **found, **settings})

    @classmethod
    def named(cls, name: str) -> Provider:
        """Gives a preset by its name: `sandbox` or `lexware`.

        Raises:
            DiscoveryError: `unknown_provider` if there is none of that name; else as `discover`.
        """
        entry = dict(_presets().get(name) or {})
        if not entry:
            raise DiscoveryError("unknown_provider", name=name, known=", ".join(_presets()))
        entry["scopes"] = tuple(entry["scopes"])
        issuer = entry.pop("issuer", None)
        if address_file := entry.pop("address_file", None):
            issuer = _issuer_from(address_file)
        if issuer is None:
            return cls(name=name, shipped=True, **entry)
        provider = cls.discover(issuer, name=name, shipped=True, **entry)
        return replace(provider, key_page=urljoin(issuer, provider.key_page)) if provider.key_page else provider

    @staticmethod
    def names() -> tuple[str, ...]:
        """Gives the names of the presets."""
        return tuple(_presets())

    @staticmethod
    def preset(name: str) -> Mapping[str, Any]:
        """Gives a preset's entry without asking the provider anything; empty if there is none of that name."""
        return MappingProxyType(_presets().get(name, {}))


@functools.cache
def _presets() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("lexoffice_nb.oauth").joinpath("providers.toml").read_text("utf-8"))


def _issuer_from(address_file: str) -> str:
    from platformdirs import user_data_path

    return proven_issuer(Path(user_data_path("lexoffice_nb"), address_file))


def _metadata_urls(issuer: str) -> tuple[str, str]:
    """OIDC appends to the issuer (Discovery section 4); RFC 8414 section 3 inserts before its path."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    return (
        parts._replace(path=path + OPENID_SUFFIX).geturl(),
        parts._replace(path=OAUTH_INFIX + path).geturl(),
    )


def _documents(issuer: str) -> list[dict[str, Any]]:
    """Reads both documents. One is enough: where the other should be, servers answer with anything."""
    documents: list[dict[str, Any]] = []
    problem = None
    for url in _metadata_urls(issuer):
        try:
            if document := _read_metadata(url, issuer):
                documents.append(document)
        except DiscoveryError as error:
            if error.code not in ("metadata_status", "metadata_not_json"):
                raise
            problem = problem or error
    if not documents:
        raise problem or DiscoveryError("no_metadata", host=Origin.of(issuer).host)
    return documents


def _read_metadata(url: str, issuer: str) -> dict[str, Any] | None:
    host = Origin.of(issuer).host
    try:
        answer = fetch("GET", url, stage="discovery", limit=METADATA_LIMIT)
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
        raise DiscoveryError("issuer_differs", host=host)
    return document


def _fields(metadata: Mapping[str, Any], issuer: str) -> dict[str, Any]:
    host = Origin.of(issuer).host
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
    if _speaks_for_us(endpoints["authorization_endpoint"]):
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


def _speaks_for_us(authorization_endpoint: str) -> bool:
    """Whether an endpoint has a fragment, or a parameter that servers could take for the client's own."""
    query = urlsplit(authorization_endpoint).query.replace(";", "&")  # some servers take both
    names = {name.strip().lower().partition("[")[0] for name, _ in parse_qsl(query, keep_blank_values=True)}
    return "#" in authorization_endpoint or not names.isdisjoint(OWN_PARAMETERS)
