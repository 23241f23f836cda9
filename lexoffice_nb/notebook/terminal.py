"""The same flow where there is no widget: in a terminal, through a kernel's stdin, and with nobody there at all."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, TypeAlias

from lexoffice_nb.errors import DiscoveryError, LexofficeError, LoginError, SignedOut, shielded
from lexoffice_nb.notebook.environment import setting
from lexoffice_nb.notebook.sign_in_request import LONGEST_HOST, check_provider, provider_shown, unconfirmed
from lexoffice_nb.notebook.terminal_reader import Wake, read_secret_line
from lexoffice_nb.oauth.callback import LIMIT
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.oauth.transport import Origin, is_loopback
from lexoffice_nb.receipt import labelled, scope_lines
from lexoffice_nb.texts import from_server, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.session import LexofficeSession

SANDBOX_PERSON = "LEXOFFICE_SANDBOX_PERSON"
# Asks for one line without showing it; None if the wake came first.
Read: TypeAlias = "Callable[[str, Wake], Secret | None]"
# The words that let a sign-in go on, in each language: whoever reads German may answer in English.
_GO_ON = {
    "confirmation": ("yes", "y", "ja", "j"),
    "port": ("paste", "einfügen", "einfuegen"),
    "account": ("yes", "y", "ja", "j"),
}


def sign_in_terminal(flow: LoginFlow, read: Read | None = None) -> LexofficeSession:
    """Signs in by a printed link; the callback is caught or pasted, whichever comes first.

    Args:
        flow: a flow that was not started yet.
        read: asks for one line; the terminal's own where not given.

    Raises:
        SignedOut: if the input ended, so that nobody can paste anything.
        LexofficeError: if the link could not be made.
        KeyboardInterrupt: on Ctrl-C; the port is given back.
    """
    read = read or read_terminal
    finished = False
    try:
        flow.prepare()
        _converse(flow, read)
        finished = True
    except KeyboardInterrupt as interrupt:
        # It stops the cell all the same; what IPython shows of it is one line, instead of all our frames.
        vars(interrupt)["_render_traceback_"] = lambda: [text("terminal.stopped")]
        raise
    finally:
        if not finished:
            flow.close()
    _say(repr(flow.session))
    if missing := flow.session.receipt().missing():
        _say(text("card.granted_less", scopes=", ".join(missing)))
    return flow.session


def _converse(flow: LoginFlow, read: Read) -> None:
    """Asks until somebody is signed in; says what was wrong with an answer, pasted or caught, once."""
    link = told = None
    while flow.state != "signed_in":
        if flow.state == "waiting" and flow.asks in _GO_ON:
            _decide(flow, read)
            continue
        if flow.state == "closed":
            raise SignedOut("signed_out_waiting")
        problem = flow.problem
        if problem is not None and problem is not told:
            if flow.state == "failed" and not flow.link:
                raise problem
            _say(f"{problem.what()}\n→ {problem.next()}")
            told = problem
        if flow.link != link:
            link = flow.link
            _show_link(flow)
        _ask(flow, read, told)


def _decide(flow: LoginFlow, read: Read) -> None:
    """Asks for the one word that lets the sign-in go on."""
    if flow.asks == "confirmation":
        problem: LexofficeError = DiscoveryError("provider_not_confirmed", host=flow.request.host)
        asked: LexofficeError = unconfirmed(flow.request)
        go_on = flow.confirm
    elif flow.asks == "account":
        problem = asked = flow.another_account()
        go_on = flow.use_account_now
    else:
        problem = asked = flow.problem or LoginError("internal", where="port")
        go_on = flow.paste_instead
    _say(f"{asked.what()}\n→ {asked.next()}")
    with Wake() as wake:
        line = read(text(f"terminal.{flow.asks}"), wake)
    said = line.reveal().strip().lower() if line else ""
    if said in _GO_ON[str(flow.asks)]:
        go_on()
    elif flow.asks == "port":
        flow.again()
    else:
        raise problem
    _settled(flow)


def _settled(flow: LoginFlow) -> None:
    """Waits until the flow, which works in a thread, has prepared what comes next."""
    done = threading.Event()

    def look(_: object = None) -> None:
        if flow.state != "ready":
            done.set()

    flow.observe(look, names="version")
    try:
        look()
        while not done.wait(0.2):  # in slices, so that Ctrl-C is heard
            pass
    finally:
        flow.unobserve(look, names="version")


def sign_in_alone(flow: LoginFlow) -> LexofficeSession:
    """Signs in with nobody there: by an API key from the environment, or as the sandbox's scripted person.

    Raises:
        SignedOut: at once, if the environment gives neither; it says what to set.
        LexofficeError: if it did not work.
    """
    person = setting(SANDBOX_PERSON) if flow.request.at_sandbox and not flow.request.api_key else None
    try:
        check_provider(flow.request)
        if not (flow.has_key or person or flow.may_be_remembered):
            raise SignedOut("signed_out_no_person")
        flow.prepare()
        if person and flow.state == "waiting":
            flow.answer(_scripted(flow.link, person))
        problem = None if flow.state == "signed_in" else flow.problem or SignedOut("signed_out_no_person")
        if flow.state == "waiting" and flow.asks == "account":
            problem = flow.another_account()
    finally:
        if flow.state != "signed_in":
            flow.close()
    if problem is not None and problem.code == "key_wrong":
        # There is no card to paste another one into.
        problem = LoginError("key_wrong_alone", stage="token", **problem.values)
    if problem is not None:
        raise problem
    return flow.session


@shielded
def _scripted(link: str, person: str) -> Secret:
    from lexoffice_nb.sandbox.person import SignInFailed, sign_in

    try:
        return Secret(sign_in(link, person))
    except SignInFailed:
        pass
    raise LoginError("scripted_person", person=person)


def _show_link(flow: LoginFlow) -> None:
    if flow.provider is None:
        return
    provider = labelled(provider_shown(flow.request, flow.provider), flow.provider.source)
    if flow.asks == "client_secret":
        _say(text("terminal.client_secret.for", provider=provider))
        return
    if flow.request.api_key:
        host = Origin.of(flow.provider.api_base)
        _say(text("terminal.key.for", provider=provider, host=str(host).split("://", 1)[-1]))
        if flow.provider.key_page:
            _say(text("terminal.key.page", url=flow.provider.key_page))
        return
    asked = scope_lines(flow.request.scopes or flow.provider.scopes)
    _say(text("terminal.open", provider=provider, host=flow.host))
    _say(f"\n    {flow.link}\n")
    if flow.provider.code_goes_to:
        _say(text("terminal.code_goes_to", host=from_server(flow.provider.code_goes_to, LONGEST_HOST)))
    if asked:
        _say(text("terminal.scopes", scopes=", ".join(line.text for line in asked)))
    if not flow.request.at_sandbox:
        _say(text("terminal.error_page"))


def _ask(flow: LoginFlow, read: Read, told: LexofficeError | None) -> None:
    """Reads one line and hands it on; what happens meanwhile, such as a caught callback, ends the reading."""
    asks = str(flow.asks)
    with Wake() as wake:

        def look(_: object = None) -> None:
            if flow.state in ("signed_in", "closed") or flow.candidate or flow.problem not in (None, told):
                wake.set()

        flow.observe(look, names="version")
        try:
            look()  # for what happened before anybody observed
            line = None if wake.is_set() else read(text(_prompt(flow, asks, read)), wake)
        finally:
            flow.unobserve(look, names="version")
    if line is not None and asks == "callback" and read is read_kernel and flow.listening and not line.reveal().strip():
        _say(text("terminal.kernel.early"))  # Enter is how one goes on there; nothing was meant to be pasted
    elif line is not None:
        {"key": flow.try_key, "client_secret": flow.take_client_secret}.get(asks, flow.answer)(line)


def _prompt(flow: LoginFlow, asks: str, read: Read) -> str:
    if asks != "callback":
        return f"terminal.{asks}.prompt"
    if flow.listening:
        return "terminal.kernel" if read is read_kernel else "terminal.prompt"
    return "terminal.prompt.only" if is_loopback(flow.redirect_uri) else "terminal.prompt.own"


@shielded
def read_terminal(prompt: str, wake: Wake) -> Secret | None:
    """Reads one line from the terminal without showing it."""
    try:
        line = read_secret_line(prompt, wake=wake, limit=LIMIT, received=text("terminal.received"))
    except ValueError:
        line = "x" * (LIMIT + 1)  # refused with the same words as everywhere
    except EOFError:
        raise SignedOut("signed_out_no_person") from None
    return None if line is None else Secret(line)


@shielded
def read_kernel(prompt: str, wake: Wake) -> Secret | None:
    """Reads one line through a kernel's stdin, where only dots are kept. It cannot be woken: Enter ends it."""
    import getpass

    line = getpass.getpass(prompt)
    return None if wake.is_set() and not line else Secret(line)


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
