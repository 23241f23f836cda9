"""The authorization server: Authlib's, kept to one contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.common.urls import add_params_to_uri
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from lexoffice_nb.sandbox.clients import Client, authenticate_basic
from lexoffice_nb.sandbox.database import new_secret
from lexoffice_nb.sandbox.grant_types import CodeGrant, Revocation, RotatingRefreshGrant, S256Required
from lexoffice_nb.sandbox.people import PEOPLE, Person
from lexoffice_nb.sandbox.scopes import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lexoffice_nb.sandbox.contract import Contract
    from lexoffice_nb.sandbox.grants import Grant, Grants
    from lexoffice_nb.sandbox.settings import SandboxSettings


class StoredRequest(OAuth2Request):  # type: ignore[misc]  # Authlib ships no types
    """An authorization request that was validated earlier and waited for the person."""

    def __init__(self, url: str, parameters: dict[str, str]) -> None:
        super().__init__("GET", url, headers={})
        self.payload = BasicOAuth2Payload(parameters)
        self.auth_time = 0.0


class Issuer(AuthorizationServer):  # type: ignore[misc]  # Authlib ships no types
    """The authorization server of one contract.

    Args:
        url: Its base URL.
        contract: What it promises.
        client: The client that is registered with it.
        grants: Where its codes and tokens are kept.
        settings: In-process switches.
        extensions: What each of its grants is given beside PKCE.
    """

    code_grant: type[CodeGrant] = CodeGrant
    pkce: type[S256Required] = S256Required

    def __init__(
        self,
        url: str,
        contract: Contract,
        client: Client,
        grants: Grants,
        settings: SandboxSettings,
        extensions: Sequence[Callable[[Any], None]] = (),
    ) -> None:
        super().__init__()
        self.url = url
        self.contract = contract
        self.client = client
        self.grants = grants
        self.settings = settings
        self.scopes_supported = contract.scopes
        self.register_grant(self.code_grant, [self.pkce(required=True), *extensions])
        self.register_grant(RotatingRefreshGrant, extensions)
        self.register_endpoint(Revocation)
        self.register_client_auth_method(
            "client_secret_basic",
            lambda query_client, request: authenticate_basic(query_client, request, settings.partner_basic_raw),
        )

    def query_client(self, client_id: str) -> Client | None:
        """The registered client of this name."""
        return self.client if client_id == self.client.id else None

    def authenticate_client(self, request: Any, methods: list[str], endpoint: str = "token") -> Any:
        """The client that sent a request, by the one method that it is registered with."""
        return super().authenticate_client(request, [self.client.authentication], endpoint)

    def create_oauth2_request(self, request: Any) -> Any:
        """Authlib's view of a request: a stored one as it is, else the one that Flask serves."""
        return request if isinstance(request, StoredRequest) else super().create_oauth2_request(request)

    @property
    def _authorize_url(self) -> str:
        return f"{self.url}{self.contract.prefix}/authorize"

    def check_authorization_request(self, parameters: dict[str, str]) -> str:
        """Validate an authorization request (RFC 6749, section 4.1.1); returns its redirect URI.

        Raises:
            OAuth2Error: With a `redirect_uri` if the error may be sent there.
        """
        # Authlib quotes what was sent in its descriptions, and fails on characters that RFC 6749 forbids there.
        redirect_uri = parameters.get("redirect_uri", "")
        if self.query_client(parameters.get("client_id", "")) is None:
            raise InvalidClientError()
        if not self.client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError()
        if parameters.get("response_type") != "code":
            state = parameters.get("state")
            raise OAuth2Error(error="unsupported_response_type", redirect_uri=redirect_uri, state=state)
        return str(self.get_consent_grant(StoredRequest(self._authorize_url, parameters)).redirect_uri)

    def requested_scopes(self, parameters: dict[str, str]) -> list[str]:
        """The scopes a request asks for, the default ones if it names none."""
        return words(self.client.get_allowed_scope(parameters.get("scope")))

    def answer(self, parameters: dict[str, str], person: Person | None, auth_time: float) -> str:
        """The Location of the authorization response; without a person it is `access_denied`."""
        if person is None:
            state = parameters.get("state")
            refused = [("error", "access_denied"), ("error_description", "The person refused.")]
            return self.named(parameters["redirect_uri"], [*refused, *([("state", state)] if state else [])])
        request = StoredRequest(self._authorize_url, parameters)
        request.auth_time = auth_time
        grant = self.get_consent_grant(request)
        return self.named(self.create_authorization_response(request, grant_user=person, grant=grant).location, [])

    def named(self, location: str, parameters: list[tuple[str, str]]) -> str:
        """An authorization response, or an error, that says who sends it if the contract does (RFC 9207, section 2)."""
        issuer = [("iss", self.url)] if self.contract.openid else []
        return str(add_params_to_uri(location, [*parameters, *issuer]))

    def generate_token(
        self,
        grant_type: str,
        client: Any,
        user: Any = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> dict[str, Any]:
        """The fields of a token response; the tokens themselves come with `save_token`."""
        granted = [each for each in words(scope) if each not in self.settings.drop_scopes]
        return {
            "token_type": "Bearer",
            "expires_in": self.contract.access_life(self.settings),
            "scope": " ".join(granted),
        }

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Make and store the tokens of a response."""
        # After Authlib's own log line, which would write them down.
        grant: Grant = request.authorization_code or request.refresh_token
        contract, settings = self.contract, self.settings
        token["access_token"] = contract.make_access_token(PEOPLE[grant.person], token["scope"], settings)
        token["refresh_token"] = new_secret(contract.refresh_octets)
        self.grants.issue_tokens(
            grant.family,
            token["scope"],
            access=(token["access_token"], token["expires_in"]),
            refresh=(token["refresh_token"], settings.refresh_token_life),
            only_pair=contract.one_live_pair,
        )
        token["scope"] = contract.answered_scope(token["scope"], settings)

    def validate_requested_scope(self, scope: str | None) -> None:
        """Refuse unknown scopes (RFC 6749, section 3.3)."""
        if not set(words(scope)) <= set(self.scopes_supported):
            raise InvalidScopeError()
