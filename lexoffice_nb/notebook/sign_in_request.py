"""What a person asks for when signing in, as data, and the provider that it means."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lexoffice_nb.errors import DiscoveryError, SandboxError
from lexoffice_nb.oauth.presets import preset, source_of, unverified_issuers
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_store import DEFAULT_PROFILE, Account
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.receipt import provider_title
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from lexoffice_nb.errors import LexofficeError
    from lexoffice_nb.oauth.token_store import StoreName
    from lexoffice_nb.oauth.tokens import Secret

LONGEST_HOST = 253  # a host is shown whole: its end says whose it is


@dataclass(frozen=True)
class SignInRequest:
    """What a person asks for when running the login cell; equal requests share one flow."""

    provider: str = "sandbox"
    issuer: str | None = None
    client_id: str | None = None
    redirect_uri: str | None = None
    scopes: tuple[str, ...] = ()
    api_key: bool = False
    loopback: bool = True
    port: int = 0
    profile: str = DEFAULT_PROFILE

    @property
    def at_sandbox(self) -> bool:
        """Whether it is the sandbox on this machine that is meant."""
        return self.provider == "sandbox" and not self.issuer

    @property
    def unverified(self) -> bool:
        """Whether nobody knows if the provider is in service: a person has to confirm it, however it is spelt."""
        entry = {} if self.issuer else Provider.preset(self.provider)
        hosts = {self.host, Origin.of(entry.get("authorization_endpoint", "")).host}
        return any(host.rstrip(".") in {Origin.of(i).host for i in unverified_issuers()} for host in hosts)

    @property
    def confidential(self) -> bool:
        """Whether the provider wants a client secret, as far as its entry says."""
        return not self.issuer and "client_secret" in Provider.preset(self.provider).get("client_authentication", "")

    @property
    def host(self) -> str:
        """The host of the provider, as far as it is known before anybody is asked."""
        return Origin.of(self.issuer or Provider.preset(self.provider).get("issuer", "")).host

    def same_client(self, other: SignInRequest) -> bool:
        """Whether another request is of the same client at the same provider, coming back to the same place."""
        mine, theirs = (replace(request, scopes=()) for request in (self, other))
        return mine == theirs and not self.api_key


@dataclass(frozen=True)
class Keeping:
    """What is to become of a sign-in beyond this kernel.

    Attributes:
        store: where it is to be kept; memory: only here, unless the person ticks otherwise.
        tick: that `store` only sets the tick, so that nothing is kept that no person has seen it on.
        fresh: whether what is kept is not to be used, since a new sign-in is wanted.
        before: whose account the variable had until now.
    """

    store: StoreName = "memory"
    tick: bool = False
    fresh: bool = False
    before: Account = field(default_factory=Account)


@dataclass(frozen=True)
class GivenSecrets:
    """The secrets that the environment or the system's keyring gives: each is None where they give none."""

    client_secret: Secret | None = None
    api_key: Secret | None = None
    problem: LexofficeError | None = None  # why the keyring gave none, although it may have one


def find_provider(request: SignInRequest, *, confirmed: bool = False) -> Provider:
    """Gives the provider of a request; the sandbox is started if it does not run.

    Args:
        request: what was asked for.
        confirmed: that a person knows where an unverified provider leads.

    Raises:
        SandboxError: if the sandbox does not start.
        LoginError: if the provider is unknown, does not answer, or is not to be believed.
    """
    check_provider(request)
    if request.issuer:
        return Provider.discover(request.issuer, source=source_of(request.issuer))
    if request.at_sandbox:
        _start_sandbox()
    return Provider.named(request.provider, confirmed=confirmed)


def unconfirmed(request: SignInRequest) -> DiscoveryError:
    """Gives what a person has to know before they confirm an unverified provider."""
    return DiscoveryError("provider_unconfirmed", host=from_server(request.host, LONGEST_HOST))


def refuse_unless_explicit(provider: str | None) -> None:
    """Refuses a provider that only the line itself may name, if a setting names it.

    Raises:
        DiscoveryError: `provider_explicit`.
    """
    if provider and Provider.preset(provider).get("unverified"):
        raise DiscoveryError("provider_explicit", name=from_server(provider, 60))


def check_provider(request: SignInRequest) -> None:
    """Says what is wrong with the provider's name or address; asks nobody.

    Raises:
        DiscoveryError: if there is no such preset, or what was given is no address.
    """
    if request.issuer:
        if not Origin.of(request.issuer).host:
            raise DiscoveryError("issuer_no_address", given=from_server(request.issuer, 60))
    else:
        preset(request.provider)


def provider_shown(request: SignInRequest, provider: Provider | None = None) -> str:
    """Gives what a person calls the provider of a request, found already or not.

    Only a provider that comes with the package is called by the name that the package has for it: whoever else is
    called `sandbox` is another one.
    """
    if provider is not None and not provider.shipped:
        return from_server(provider.title, LONGEST_HOST)
    if provider is None and request.issuer:
        return from_server(Origin.of(request.issuer).host or request.issuer, LONGEST_HOST)
    name = provider.name if provider else request.provider
    title = provider.title if provider else Provider.preset(name).get("title", name)
    return provider_title(name, from_server(title, 60))


def _start_sandbox() -> None:
    from lexoffice_nb.sandbox import process

    try:
        process.find_or_start()
    except process.SandboxError as error:
        reason = str(error)
    else:
        return
    raise SandboxError("sandbox_no_start", reason=reason)
