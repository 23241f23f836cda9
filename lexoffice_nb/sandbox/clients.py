"""Registered clients, and how one proves that it is itself."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import ClientMixin

from lexoffice_nb.sandbox.authorization_header import basic_credentials
from lexoffice_nb.sandbox.database import digest
from lexoffice_nb.sandbox.scopes import words

if TYPE_CHECKING:
    from collections.abc import Callable


class Client(ClientMixin):  # type: ignore[misc]  # Authlib ships no types
    """A registered client.

    Args:
        client_id: Its identifier.
        name: What the pages call it.
        default_scope: What a request without `scope` asks for (RFC 6749, section 3.3).
        accepts_redirect_uri: Whether a redirect URI is registered.
        secret: The secret of a confidential client; only its digest is kept. Without one the client is public.
    """

    def __init__(
        self,
        client_id: str,
        name: str,
        default_scope: str,
        accepts_redirect_uri: Callable[[str], bool],
        secret: str | None = None,
    ) -> None:
        self.id = client_id
        self.name = name
        self._default_scope = default_scope
        self._accepts_redirect_uri = accepts_redirect_uri
        self._secret_digest = None if secret is None else digest(secret)

    @property
    def authentication(self) -> str:
        """The one method by which it authenticates: `none` or `client_secret_basic`."""
        return "none" if self._secret_digest is None else "client_secret_basic"

    # The names below are the ones that Authlib asks for.
    def get_client_id(self) -> str:
        """Its identifier."""
        return self.id

    def get_default_redirect_uri(self) -> None:
        """None: `redirect_uri` has to be sent."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """The scope of a request, with the default for none (RFC 6749, section 3.3)."""
        return " ".join(words(scope)) or self._default_scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether it is registered."""
        return self._accepts_redirect_uri(redirect_uri)

    def check_client_secret(self, secret: str) -> bool:
        """Whether this is its secret."""
        return self._secret_digest is not None and hmac.compare_digest(digest(secret), self._secret_digest)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Its one method, at every endpoint."""
        return method == self.authentication

    def check_response_type(self, response_type: str) -> bool:
        """Only `code`."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Codes and refresh tokens."""
        return grant_type in ("authorization_code", "refresh_token")


def authenticate_basic(query_client: Callable[[str], Client | None], request: Any, raw: bool) -> Client | None:
    """The client that a request's `Authorization: Basic` header proves, or None."""
    credentials = basic_credentials(request.headers.get("Authorization", ""), raw)
    client = None if credentials is None else query_client(credentials[0])
    return client if client is not None and credentials and client.check_client_secret(credentials[1]) else None
