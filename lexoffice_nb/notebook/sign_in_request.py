"""What a person asks for when signing in, as data, and the provider that it means."""

from __future__ import annotations

from dataclasses import dataclass

from lexoffice_nb.errors import LoginError, SandboxError, shielded
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret

LONGEST_KEY = 4096


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


@shielded
def read_key(pasted: Secret) -> Secret:
    """Gives the API key in what was pasted.

    Raises:
        LoginError: if it is empty or cannot be a key. Its shape is the vendor's own affair (RFC 6750 section 2.1).
    """
    key = pasted.reveal().strip()
    if not key:
        raise LoginError("key_empty", stage="token")
    if not key.isascii() or not key.isprintable() or " " in key or len(key) > LONGEST_KEY:
        raise LoginError("key_malformed", stage="token")
    return Secret(key)


def find_provider(request: SignInRequest) -> Provider:
    """Gives the provider of a request; the sandbox is started if it does not run.

    Raises:
        SandboxError: if the sandbox does not start.
        LoginError: if the provider is unknown, does not answer, or is not to be believed.
    """
    if request.issuer:
        return Provider.discover(request.issuer)
    if request.at_sandbox:
        _start_sandbox()
    return Provider.named(request.provider)


def _start_sandbox() -> None:
    from lexoffice_nb.sandbox import process

    try:
        process.find_or_start()
    except process.SandboxError as error:
        reason = str(error)
    else:
        return
    raise SandboxError("sandbox_no_start", reason=reason)
