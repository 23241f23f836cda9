"""`login()`: what the magic calls, and what a script can call as well."""

from __future__ import annotations

import sys
import weakref
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from lexoffice_nb.errors import LexofficeError, LoginError, SignedOut, StoreError, shielded
from lexoffice_nb.log import stop_redacting
from lexoffice_nb.notebook import quiet_log
from lexoffice_nb.notebook.environment import forget_secrets, secret, setting
from lexoffice_nb.notebook.login_flow import LoginFlow
from lexoffice_nb.notebook.problems import problem_of
from lexoffice_nb.notebook.sign_in_request import (
    GivenSecrets,
    Keeping,
    SignInRequest,
    check_provider,
    find_provider,
    provider_shown,
    refuse_unless_explicit,
)
from lexoffice_nb.notebook.terminal import read_kernel, sign_in_alone, sign_in_terminal
from lexoffice_nb.oauth import system_keyring
from lexoffice_nb.oauth.accounts import is_kept, open_store, where_this_runs
from lexoffice_nb.oauth.keyring_store import all_kept
from lexoffice_nb.oauth.presets import shipped
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_store import DEFAULT_PROFILE, Account, check_profile
from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import clock, day, from_server, text, use_language

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lexoffice_nb.notebook.login_widget import LoginWidget
    from lexoffice_nb.oauth.keyring_store import Listed
    from lexoffice_nb.oauth.token_store import StoreName
    from lexoffice_nb.oauth.tokens import Secret

Place = Literal["card", "terminal", "kernel", "alone"]
MOST_USES = 3  # without a click, that the status names
KEY_VARIABLE = "LEXOFFICE_API_KEY"


@dataclass(frozen=True)
class _SignIn:
    """A sign-in of this process: what was asked for, its flow, and its card where it has one."""

    asked: SignInRequest
    flow: LoginFlow
    card: LoginWidget | None = None


# By the name that their session has in the notebook; the last one of each name.
_sign_ins: dict[str, _SignIn] = {}
# Everything that was ever handed out and still lives, to take back what it holds.
_all_flows: weakref.WeakSet[LoginFlow] = weakref.WeakSet()
_all_cards: weakref.WeakSet[Any] = weakref.WeakSet()
_all_sessions: weakref.WeakSet[LexofficeSession] = weakref.WeakSet()


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
    profile: str = DEFAULT_PROFILE,
    store: StoreName = "memory",
    tick: bool = False,
) -> LexofficeSession:
    """Signs in; gives the session: in a terminal when signed in, in a notebook at once (its card goes on by itself).

    What is not given comes from the environment (`LEXOFFICE_PROVIDER`, `LEXOFFICE_CLIENT_ID`,
    `LEXOFFICE_REDIRECT_URI`), then from the defaults: the provider is the sandbox on this machine. Calling it again
    with the same wishes shows the same sign-in again; with other ones it is refused while the name is signed in, unless
    `force` is given: then the former session is signed out.

    Args:
        name: one sign-in is kept for each name.
        provider: a preset: `sandbox`, `lexware`, `paper`, or one of your own (docs/add_a_provider.md).
        issuer: the address of any provider that describes itself (instead of `provider`).
        client_id: the client registered there.
        redirect_uri: the redirect URI registered there, where a loopback URI with any port is not accepted.
        scopes: what to ask for instead of the provider's default.
        api_key: sign in with an API key, from the card or from `LEXOFFICE_API_KEY`.
        terminal: print the link instead of showing a card.
        force: begin anew even if somebody is signed in; the former session is signed out.
        interactive: if False, nobody is asked: it works at once or raises `SignedOut`.
        loopback: catch the callback on this machine; else it is pasted.
        port: the port to catch it on; 0 takes a free one.
        language: `en`, `de`, or `auto` for the browser's.
        profile: what to call the account, beside others at the same provider. What is remembered under it is used
            without a click, unless `force` is given.
        store: where the tokens are kept: memory (this process), file or keyring (30 days, for all notebooks).
        tick: that `store` only sets the tick on the card, where the person decides; nowhere else anything is kept then.

    Raises:
        StoreError: if `profile` is no name for one.
        SignedOut: if nobody is there to sign in, or `interactive` is off and nobody is signed in.
        LoginError: `name_signed_in` if the name is signed in with other wishes.
        LexofficeError: in a terminal, what went wrong.
    """
    if language != "auto":
        use_language(language)
    if not provider and not issuer:
        refuse_unless_explicit(setting("LEXOFFICE_PROVIDER"))
    asked = SignInRequest(
        provider=provider or setting("LEXOFFICE_PROVIDER") or "sandbox",
        issuer=issuer,
        client_id=client_id or setting("LEXOFFICE_CLIENT_ID"),
        redirect_uri=redirect_uri or setting("LEXOFFICE_REDIRECT_URI"),
        scopes=tuple(dict.fromkeys(scopes)),
        api_key=api_key,
        loopback=loopback,
        port=port,
        profile=check_profile(profile),
    )
    check_provider(asked)  # before anything that waits is replaced
    place = _place(terminal=terminal, interactive=interactive)
    known = _sign_ins.get(name)
    if known is not None and not force:
        if not _is_for(known, asked):
            _refuse_to_replace(name, known)
        elif _goes_on(known, place, shown=interactive):
            if not tick:
                known.flow.session.remember(store)
            return known.flow.session
    keeping = Keeping("memory" if tick and place != "card" else store, tick, force, _account_of(known, asked))
    session = _begin(name, asked, place, keeping, language=language, shown=interactive, known=known)
    if known is not None and known.flow.session.signed_in:
        # Only now, when there is another one; but never left behind, since nothing could reach it any more.
        replaced = known.flow.session
        if session.shares_what_is_kept(replaced):
            replaced.forget()  # its tokens were revoked when the new ones took their place
            return session
        for failure in replaced.logout()[:1]:
            sys.stdout.write(text("logout.failed", what=failure.what()) + "\n")
    return session


def _is_for(known: _SignIn, asked: SignInRequest) -> bool:
    """Whether a sign-in is what is asked for. Once it is done, it does not matter where its callback was caught."""
    if known.flow.session.signed_in:
        asked = replace(asked, loopback=known.asked.loopback, port=known.asked.port)
    return known.asked == asked


def _refuse_to_replace(name: str, known: _SignIn) -> None:
    session = known.flow.session
    if session.signed_in:
        provider = provider_shown(known.flow.request, session.provider)
        who = session.account.company or session.account.person or provider
        raise LoginError("name_signed_in", name=name, who=who, provider=provider)


def _place(*, terminal: bool, interactive: bool) -> Place:
    """Where the person is. A kernel without stdin (nbclient, papermill) has none."""
    kernel = getattr(_shell(), "kernel", None)
    if not interactive:
        return "alone"
    if kernel is not None:
        if not kernel._allow_stdin:
            return "alone"
        return "kernel" if terminal else "card"
    return "terminal" if terminal or (sys.stdin is not None and sys.stdin.isatty()) else "alone"


def _shell() -> Any:
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _goes_on(known: _SignIn, place: Place, *, shown: bool) -> bool:
    """Shows a sign-in that is done, or still waiting, once more; False if there is nothing left of it to go on with."""
    if known.flow.session.signed_in:
        if shown:
            _show(known.flow.session)
        return True
    if place != "card" or known.card is None or known.flow.state in ("signed_in", "closed"):
        return False
    _show(known.card)
    known.flow.again()
    return True


def _begin(
    name: str,
    asked: SignInRequest,
    place: Place,
    keeping: Keeping | None = None,
    *,
    language: str,
    shown: bool,
    known: _SignIn | None = None,
) -> LexofficeSession:
    flow = _new_flow(asked, place, name, keeping)
    if known is not None:
        flow.follow(known.flow)  # an older tab still works
        known.flow.close()  # its port may be the one that is wanted now
    if place == "card":
        from lexoffice_nb.notebook.login_widget import LoginWidget

        quiet_log.hide(_shell())
        card = LoginWidget(flow, language=language)
        _all_cards.add(card)
        _sign_ins[name] = _SignIn(asked, flow, card)
        if flow.may_be_remembered:
            flow.prepare()  # here and now, so that the cells below find somebody signed in
        else:
            flow.start()
        _show(card)
        return flow.session
    if place == "alone":
        sign_in_alone(flow)
        if shown:
            _show(flow.session)
    else:
        sign_in_terminal(flow, read_kernel if place == "kernel" else None)
    _sign_ins[name] = _SignIn(asked, flow)
    return flow.session


def _account_of(known: _SignIn | None, asked: SignInRequest) -> Account:
    """Whose account the variable has until now, if it is the same profile at the same provider."""
    if known is None or not known.flow.session.signed_in:
        return Account()
    same = (known.asked.provider, known.asked.issuer, known.asked.profile) == (
        *(asked.provider, asked.issuer, asked.profile),
    )
    return known.flow.session.account if same else Account()


def _new_flow(asked: SignInRequest, place: Place, name: str, keeping: Keeping | None) -> LoginFlow:
    # A notebook may name any provider, and somebody else may have written it: no secret is sent there by itself.
    belongs = _environment_means(asked)
    key = secret(KEY_VARIABLE) if belongs and (asked.api_key or place == "alone") else None
    request = replace(asked, api_key=True) if key else asked
    confidential = asked.confidential and not request.api_key
    client_secret, problem = _client_secret(asked, environment=belongs) if confidential else (None, None)
    flow = LoginFlow(request, GivenSecrets(client_secret, key, problem), name, keeping=keeping)
    _all_flows.add(flow)
    _all_sessions.add(flow.session)
    return flow


def _environment_means(asked: SignInRequest) -> bool:
    """Whether the secrets of the environment are for a provider: the one that it names, or one of the package."""
    named = setting("LEXOFFICE_PROVIDER")
    return not asked.issuer and (asked.provider == named if named else asked.provider in shipped())


def _client_secret(asked: SignInRequest, *, environment: bool) -> tuple[Secret | None, LexofficeError | None]:
    """Takes it from the environment, else from the system's keyring: some of those open in the main thread only."""
    if environment and (given := secret("LEXOFFICE_CLIENT_SECRET")):
        return given, None
    client_id = asked.client_id or Provider.preset(asked.provider).get("client_id", "")
    try:
        return system_keyring.client_secret(asked.provider, client_id), None
    except StoreError as error:
        return None, error


def _show(shown: LoginWidget | LexofficeSession) -> None:
    if _shell() is None:
        sys.stdout.write(f"{shown!r}\n")
        return
    from IPython.display import display

    display(shown)


def names() -> list[str]:
    """Gives the names under which `login()` gave a session."""
    return list(_sign_ins)


def session_named(name: str) -> LexofficeSession | None:
    """Gives the session that `login()` gave last under a name, or None."""
    known = _sign_ins.get(name)
    return known.flow.session if known else None


def signed_in_sessions() -> dict[str, LexofficeSession]:
    """Gives the sessions that somebody is signed in with, by name."""
    return {name: known.flow.session for name, known in _sign_ins.items() if known.flow.session.signed_in}


def waiting_texts() -> list[str]:
    """Says of each sign-in that waits, in one line, that it does."""
    return [
        text("status.waiting.magic", name=name, provider=provider_shown(flow.request, flow.provider))
        for name, flow in _waiting().items()
    ]


def names_in_use() -> list[str]:
    """Gives the names that are signed in or wait."""
    return list(dict.fromkeys([*signed_in_sessions(), *_waiting()]))


def _waiting() -> dict[str, LoginFlow]:
    flows = {name: known.flow for name, known in _sign_ins.items()}
    return {
        name: flow
        for name, flow in flows.items()
        if flow.state in ("ready", "waiting", "exchanging") or (flow.state == "failed" and flow.link)
    }


def kept_texts() -> list[str]:
    """Says of each account that is remembered on this machine, in a line or two, whose it is and who used it."""
    lines = []
    try:
        kept = all_kept()
    except StoreError as error:
        return [text("status.kept.problem", what=error.what())]
    for one in kept:
        if one.problem is not None or one.name is None:
            lines.append(text("status.kept.problem", what=one.problem.what() if one.problem else "–"))
            continue
        who = one.who.company or one.who.person or "–"
        until = day(one.remembered_until) if one.remembered_until else "–"
        place = text(f"status.kept.{one.store}")
        lines.append(
            text("status.kept", profile=one.name.profile, provider=one.name.provider, who=who, until=until, place=place)
        )
        uses = [f"{clock(use.at)} ({from_server(use.where, 80)})" for use in one.adoptions[-MOST_USES:]]
        if uses:
            lines.append("    " + text("status.kept.uses", uses=", ".join(uses)))
    return lines


def sign_out_profile(profile: str) -> list[str]:
    """Signs out every account of a profile, remembered or in this process; says what became of it."""
    profile = check_profile(profile)
    found = [one for one in all_kept() if one.name is not None and one.name.profile == profile]
    said = []
    for one in found:
        if one.name is None or one.binding is None:
            continue
        what = problem_of(partial(_sign_out, one))
        key = "logout.profile.done.key" if one.kind == "key" else "logout.profile.done"
        done = text(key, profile=profile, provider=one.name.provider)
        said.append(text("logout.failed", what=what.what()) if what else done)
    for name, session in signed_in_sessions().items():
        receipt = session.receipt()
        in_memory = receipt.signed_in and receipt.remembered_until is None
        if in_memory and session.profile_name == profile:
            was_key, failures = session.kind == "key", session.logout()
            forget(session)
            done = text("logout.done.key" if was_key else "logout.done", name=name)
            said.append(text("logout.failed", what=failures[0].what()) if failures else done)
    return said or [text("logout.profile.none", profile=profile)]


@shielded
def _sign_out(one: Listed) -> None:
    """Signs out an account that is kept. It is gone from here even where the provider cannot be told.

    Raises:
        LexofficeError: what the provider could not be told, or what could not be removed.
    """
    if one.name is None or one.binding is None:
        return
    known = one.name.provider in Provider.names()
    asked = SignInRequest(
        provider=one.name.provider if known else "",
        issuer=None if known else one.binding.issuer,
        client_id=one.binding.client_id or None,
        profile=one.name.profile,
    )
    session = LexofficeSession()
    problem: LexofficeError | None = None
    try:
        client_secret = None
        if asked.confidential and one.kind == "oauth":
            client_secret, problem = _client_secret(asked, environment=_environment_means(asked))
        provider = find_provider(asked, confirmed=True)  # somebody has signed in there, and knows where it leads
        found = session.remembered(provider, asked.client_id, client_secret, asked.profile, where_this_runs())
        if found is not None:
            session.adopt(found)
            problem = next(iter(session.logout()), None)
        elif problem is None and one.kind == "oauth":
            problem = SignedOut("signed_out_unrevoked")
    except LexofficeError as error:
        problem = error
    if is_kept(one.name):
        open_store(one.store, one.name).delete()
    if problem is not None:
        raise problem


def forget(session: LexofficeSession) -> None:
    """Drops a session's flow after log-out, so that the next login begins anew; its card says that it is over."""
    for name, known in list(_sign_ins.items()):
        if known.flow.session is session:
            known.flow.close()
            del _sign_ins[name]


def close_all() -> None:
    """Ends everything that this process holds: listeners, timers, cards, tokens."""
    for flow in list(_all_flows):
        flow.close()
    for card in list(_all_cards):
        card.close()
    for session in list(_all_sessions):
        session.forget()
    _sign_ins.clear()
    quiet_log.stop_hiding(_shell())
    stop_redacting()
    forget_secrets()
