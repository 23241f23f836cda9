"""A provider as data: where to sign in, how the client authenticates, which scopes there are, where the API is.

A provider comes from discovery (OpenID Connect Discovery 1.0 and RFC 8414), from a preset in `providers.toml`, or from
the person's own file of that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from lexoffice_nb.errors import DiscoveryError
from lexoffice_nb.oauth import presets
from lexoffice_nb.oauth.local_address import proven_issuer
from lexoffice_nb.oauth.metadata import ENDPOINTS, fields_of, metadata_of, shown, speaks_for_us
from lexoffice_nb.oauth.transport import Origin, is_allowed, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.oauth.presets import Source


REQUEST_INTERVAL = 0.55
"""Seconds between two requests where nothing else is said: lexoffice allows two a second, less a buffer."""
_UNSAID = -1.0


def usual_interval(url: str) -> float:
    """Gives the seconds between two requests to an API of which nothing else is known: none on this machine."""
    return 0.0 if is_loopback(url) else REQUEST_INTERVAL


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
        end_session_endpoint: where a person signs out of the provider itself (RP-Initiated Logout 1.0), or None.
        jwks_uri: the keys that sign ID tokens, or None.
        api_base: the API that access tokens are for; they go to its origin and nowhere else.
        key_page: where a person makes an API key, or None.
        client_id: the client registered for this package, or None: then the user brings one.
        client_authentication: none, client_secret_basic or client_secret_post (RFC 6749 section 2.3.1).
        client_secret_encoding: form, as RFC 6749 section 2.3.1 demands, or raw, as some servers do.
        openid: whether it gives an ID token.
        scopes: what is asked for where nobody says otherwise.
        resource: the APIs that an access token is to be for (RFC 8707); most providers want none named.
        redirect_uri: the one registered redirect URI where a loopback URI with any port is not accepted, or None.
        iss_in_response: whether it promised `iss` in each authorization response (RFC 9207).
        s256: whether its metadata lists S256 (None where they say nothing about it).
        request_interval: seconds between two requests to the API, of all notebooks that use one account together; 0 for
            no pace. Where nothing is said, 0 for a provider on this machine, else 0.55.
        unverified: whether nobody knows if it is in service: then a person has to confirm it first.
        source: who chose it: it is `shipped` with the package, from the `user`'s own file, or named by a `notebook`.
        metadata: what it says of itself, unchecked, or empty.
    """

    name: str
    title: str
    authorization_endpoint: str
    token_endpoint: str
    api_base: str
    issuer: str | None = None
    revocation_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    jwks_uri: str | None = None
    key_page: str | None = None
    client_id: str | None = None
    client_authentication: str = "none"
    client_secret_encoding: str = "form"
    openid: bool = True
    scopes: tuple[str, ...] = ("openid", "profile")
    resource: tuple[str, ...] = ()
    redirect_uri: str | None = None
    iss_in_response: bool = False
    s256: bool | None = None
    request_interval: float = _UNSAID
    unverified: bool = False
    source: Source = "notebook"
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.request_interval == _UNSAID:
            object.__setattr__(self, "request_interval", usual_interval(self.issuer or self.authorization_endpoint))

    @property
    def shipped(self) -> bool:
        """Whether it comes with the package."""
        return self.source == "shipped"

    @property
    def local(self) -> bool:
        """Whether the provider runs on this machine; only then may its URLs be plain http to loopback."""
        return is_loopback(self.issuer or self.authorization_endpoint)

    @property
    def leaves_pkce_open(self) -> bool:
        """Whether it describes itself and does not say that it checks S256: PKCE may then protect nothing."""
        return bool(self.metadata) and not self.s256

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
    def discover(
        cls,
        issuer: str,
        *,
        name: str | None = None,
        title: str | None = None,
        metadata_url: str | None = None,
        **settings: Any,
    ) -> Provider:
        """Reads a provider's own description of itself: OIDC and RFC 8414 documents of one issuer, merged.

        Args:
            issuer: the issuer identifier: https, or http to loopback.
            name: what to call it; its host where nothing is given.
            title: what a person calls it.
            metadata_url: where its description is, if not at the two standard places.
            settings: fields of `Provider` that override what was discovered.

        Raises:
            DiscoveryError: if it does not answer, or what it answers is not to be believed.
        """
        host = shown(issuer)
        if not is_allowed(issuer) or urlsplit(issuer).query or urlsplit(issuer).fragment:
            raise DiscoveryError("issuer_not_allowed", host=host)
        if metadata_url is not None and not is_allowed(metadata_url, named_by=issuer):
            raise DiscoveryError("endpoint_not_allowed", host=host, endpoint="metadata_url")
        overrides = {key: settings[key] for key in ENDPOINTS if settings.get(key) is not None}
        found = fields_of({**metadata_of(issuer, metadata_url), **overrides}, issuer)
        usual = Origin.of(issuer).host
        return cls(**{"name": name or usual, "title": title or usual, **found, **settings})

    @classmethod
    def named(cls, name: str, *, confirmed: bool = False) -> Provider:
        """Gives a preset by its name: `sandbox`, `lexware`, `paper`, or one of the person's own.

        Args:
            name: the preset's name.
            confirmed: that a person knows where `paper` leads: nobody has verified that it is in service.

        Raises:
            DiscoveryError: `unknown_provider` if there is none of that name; `provider_unverified`; else as `discover`.
        """
        preset = presets.preset(name)
        entry = dict(preset.values)
        if entry.get("unverified") and not confirmed:
            raise DiscoveryError("provider_unverified", name=name, host=Origin.of(str(entry["issuer"])).host)
        for key in ("scopes", "resource"):
            if key in entry:
                entry[key] = tuple(entry[key])
        issuer = entry.pop("issuer", None)
        if address_file := entry.pop("address_file", None):
            issuer = _issuer_from(address_file)
        if issuer is None:
            return cls(name=name, source=preset.source, **_used_as_it_is(entry))
        provider = cls.discover(issuer, name=name, source=preset.source, **entry)
        return replace(provider, key_page=urljoin(issuer, provider.key_page)) if provider.key_page else provider

    @staticmethod
    def names() -> tuple[str, ...]:
        """Gives the names of the presets, the person's own included."""
        return presets.names()

    @staticmethod
    def preset(name: str) -> Mapping[str, Any]:
        """Gives a preset's entry without asking the provider anything; empty if there is none of that name."""
        try:
            return MappingProxyType(dict(presets.preset(name).values))
        except DiscoveryError:
            return MappingProxyType({})


def _issuer_from(address_file: str) -> str:
    from platformdirs import user_data_path

    return proven_issuer(Path(user_data_path("lexoffice_nb"), address_file))


def _used_as_it_is(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without an issuer: nothing is discovered. Its own endpoints are checked like discovered ones."""
    entry.pop("metadata_url", None)
    authorization_endpoint = entry["authorization_endpoint"]
    host = Origin.of(authorization_endpoint).host
    for name in ENDPOINTS:
        if entry.get(name) and not is_allowed(entry[name], named_by=authorization_endpoint):
            raise DiscoveryError("endpoint_not_allowed", host=host, endpoint=name)
    if speaks_for_us(authorization_endpoint):
        raise DiscoveryError("endpoint_parameters", host=host, endpoint="authorization_endpoint")
    return {"openid": False, "scopes": (), **entry}
