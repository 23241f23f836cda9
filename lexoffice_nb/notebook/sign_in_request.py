"""What a person asks for when signing in, as data, and the provider that it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexoffice_nb.errors import DiscoveryError, SandboxError
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.transport import Origin
from lexoffice_nb.receipt import provider_title
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
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

    @property
    def at_sandbox(self) -> bool:
        """Whether it is the sandbox on this machine that is meant."""
        return self.provider == "sandbox" and not self.issuer


@dataclass(frozen=True)
class GivenSecrets:
    """The secrets that the environment gives: each is None where it gives none."""

    client_secret: Secret | None = None
    api_key: Secret | None = None


def find_provider(request: SignInRequest) -> Provider:
    """Gives the provider of a request; the sandbox is started if it does not run.

    Raises:
        SandboxError: if the sandbox does not start.
        LoginError: if the provider is unknown, does not answer, or is not to be believed.
    """
    check_provider(request)
    if request.issuer:
        return Provider.discover(request.issuer)
    if request.at_sandbox:
        _start_sandbox()
    return Provider.named(request.provider)


def check_provider(request: SignInRequest) -> None:
    """Says what is wrong with the provider's name or address; asks nobody.

    Raises:
        DiscoveryError: if there is no such preset, or what was given is no address.
    """
    if request.issuer:
        if not Origin.of(request.issuer).host:
            raise DiscoveryError("issuer_no_address", given=from_server(request.issuer, 60))
    elif request.provider not in Provider.names():
        raise DiscoveryError(
            "unknown_provider", name=from_server(request.provider, 60), known=", ".join(Provider.names())
        )


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
