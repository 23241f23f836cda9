"""`login()`: what the magic calls, and what a script can call as well."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from lexoffice_nb.errors import SignedOut
from lexoffice_nb.notebook.login_flow import GivenSecrets, LoginFlow, SignInRequest
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lexoffice_nb.session import LexofficeSession

Place = Literal["card", "terminal", "kernel", "alone"]

# The flows of this process, by the name that their session has in the notebook.
_flows: dict[str, LoginFlow] = {}
_cards: dict[str, Any] = {}


def login(
    name: str = "lexoffice",
    *,
    provider: str | None = None,
    issuer: str | None = None,
    client_id: str | None = None,
    redirect_uri: str | None = None,
    scopes: Iterable[str] = (),
    api_key: bool = False,
    terminal: bool = False,
    force: bool = False,
    interactive: bool = True,
    loopback: bool = True,
    port: int = 0,
    language: str = "auto",
) -> LexofficeSession:
    """Signs in; gives the session: in a terminal when signed in, in a notebook at once (its card goes on by itself).

    What is not given comes from the environment (`LEXOFFICE_PROVIDER`, `LEXOFFICE_CLIENT_ID`,
    `LEXOFFICE_REDIRECT_URI`), then from the defaults: the provider is the sandbox on this machine. Calling it again
    with the same wishes shows the same sign-in again.

    Args:
        name: one sign-in is kept for each name.
        provider: a preset: `sandbox` or `lexware`.
        issuer: the address of any provider that describes itself (instead of `provider`).
        client_id: the client registered there.
        redirect_uri: the redirect URI registered there, where a loopback URI with any port is not accepted.
        scopes: what to ask for instead of the provider's default.
        api_key: sign in with an API key, from the card or from `LEXOFFICE_API_KEY`.
        terminal: print the link instead of showing a card.
        force: begin anew even if somebody is signed in.
        interactive: if False, nobody is asked: it works at once or raises `SignedOut`.
        loopback: catch the callback on this machine; else it is pasted.
        port: the port to catch it on; 0 takes a free one.
        language: `en`, `de`, or `auto` for the browser's.

    Raises:
        SignedOut: if nobody is there to sign in, or `interactive` is off and nobody is signed in.
        LexofficeError: in a terminal, what went wrong.
    """
    environment = os.environ
    key = environment.get("LEXOFFICE_API_KEY")
    request = SignInRequest(
        provider=provider or environment.get("LEXOFFICE_PROVIDER") or "sandbox",
        issuer=issuer,
        client_id=client_id or environment.get("LEXOFFICE_CLIENT_ID") or None,
        redirect_uri=redirect_uri or environment.get("LEXOFFICE_REDIRECT_URI") or None,
        scopes=tuple(dict.fromkeys(scopes)),
        api_key=api_key,
        loopback=loopback,
        port=port,
    )
    place = _place(terminal, interactive)
    if place == "alone" and key and not issuer:
        request = _with_key(request)
    known = _flows.get(name)
    if known is not None and known.request == request and not force and _shown_again(known, name, place):
        return known.session
    if not interactive and known is not None and known.session.signed_in and not force:
        return known.session
    flow = LoginFlow(request, _secrets(environment, key if request.api_key else None))
    _begin(flow, name, place, language)
    return flow.session


def _with_key(request: SignInRequest) -> SignInRequest:
    from dataclasses import replace

    return replace(request, api_key=True)


def _secrets(environment: Mapping[str, str], key: str | None) -> GivenSecrets:
    client_secret = environment.get("LEXOFFICE_CLIENT_SECRET")
    return GivenSecrets(
        client_secret=Secret(client_secret) if client_secret else None,
        api_key=Secret(key) if key else None,
    )


def _place(terminal: bool, interactive: bool) -> Place:
    """Where the person is. A kernel without stdin (nbclient, papermill) has none."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    if not interactive:
        return "alone"
    if kernel is not None:
        if not kernel._allow_stdin:
            return "alone"
        return "kernel" if terminal else "card"
    return "terminal" if terminal or (sys.stdin is not None and sys.stdin.isatty()) else "alone"


def _begin(flow: LoginFlow, name: str, place: Place, language: str) -> None:
    from lexoffice_nb.notebook import terminal

    if place != "card":
        if place == "alone":
            terminal.sign_in_alone(flow)
        elif place == "kernel":
            terminal.sign_in_terminal(flow, terminal.read_kernel)
        else:
            terminal.sign_in_terminal(flow)
        _keep(name, flow, None)
        return
    from IPython.display import display

    from lexoffice_nb.notebook.login_widget import LoginWidget

    card = LoginWidget(flow, language=language)
    _keep(name, flow, card)
    flow.start()
    display(card)


def _shown_again(flow: LoginFlow, name: str, place: Place) -> bool:
    """Shows a sign-in that is done, or still waiting, once more; False if there is nothing left of it to show."""
    if flow.session.signed_in:
        _show(flow.session)
        return True
    card = _cards.get(name)
    if place != "card" or card is None or flow.state not in ("ready", "waiting", "exchanging", "failed"):
        return False
    from IPython.display import display

    display(card)
    if flow.state == "failed" and not flow.link:
        flow.again()
    return True


def _show(session: LexofficeSession) -> None:
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from IPython.display import display

        display(session)
    else:
        sys.stdout.write(repr(session) + "\n")


def _keep(name: str, flow: LoginFlow, card: Any) -> None:
    earlier = _flows.get(name)
    if earlier is not None:
        earlier.close()
    _flows[name] = flow
    _cards[name] = card


def flow_of(session: object) -> LoginFlow | None:
    """Gives the flow that a session came from, or None."""
    return next((flow for flow in _flows.values() if flow.session is session), None)


def waiting_flows() -> list[LoginFlow]:
    """Gives the sign-ins that wait for an answer."""
    return [flow for flow in _flows.values() if flow.state in ("ready", "waiting", "exchanging", "failed")]


def forget(session: LexofficeSession) -> None:
    """Drops a session's flow after log-out, so that the next login begins anew; its card says that it is over."""
    for name, flow in list(_flows.items()):
        if flow.session is session:
            flow.refresh()
            flow.close()
            del _flows[name]
            _cards.pop(name, None)


def close_all() -> None:
    """Ends everything that this process holds: listeners, timers, cards, tokens."""
    for name, flow in list(_flows.items()):
        flow.close()
        flow.session.forget()
        card = _cards.pop(name, None)
        if card is not None:
            card.close()
        del _flows[name]


def needs_person(error: BaseException) -> bool:
    """Tells whether an error only says that nobody is there to sign in."""
    return isinstance(error, SignedOut) and error.code == "signed_out_no_person"


def waiting_text(flow: LoginFlow) -> str:
    """Says in one line that a sign-in waits."""
    return text("status.waiting.magic", provider=flow.request.issuer or flow.request.provider)
