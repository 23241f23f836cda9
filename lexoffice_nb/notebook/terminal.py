"""The same flow where there is no widget: in a terminal, through a kernel's stdin, and with nobody there at all."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lexoffice_nb.errors import LexofficeError, LoginError, SignedOut, shielded
from lexoffice_nb.notebook.terminal_reader import Wake, read_secret_line
from lexoffice_nb.oauth.callback import LIMIT
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.receipt import provider_title, scope_lines
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.session import LexofficeSession

SANDBOX_PERSON = "LEXOFFICE_SANDBOX_PERSON"


def sign_in_terminal(flow: LoginFlow, read: Callable[[str, Wake], Secret | None] | None = None) -> LexofficeSession:
    """Signs in by a printed link; the callback is caught or pasted, whichever comes first.

    Args:
        flow: a flow that was not started yet.
        read: asks for one line without showing it; None if the wake came first. The terminal's own where not given.

    Raises:
        SignedOut: if the input ended, so that nobody can paste anything.
        LexofficeError: if the link could not be made.
        KeyboardInterrupt: on Ctrl-C; the port is given back.
    """
    read = read or read_terminal
    finished = False
    try:
        flow.prepare()
        _raise_without_link(flow)
        shown = ""
        while flow.state != "signed_in":
            if flow.link != shown or flow.request.api_key:
                _show_link(flow)
                shown = flow.link
            _ask(flow, read)
            if flow.state != "signed_in" and flow.problem:
                _say(f"{flow.problem.what()}\n→ {flow.problem.next()}")
                _raise_without_link(flow)
        finished = True
    finally:
        if not finished:
            flow.close()
    _say(repr(flow.session))
    return flow.session


def sign_in_alone(flow: LoginFlow) -> LexofficeSession:
    """Signs in with nobody there: by an API key from the environment, or as the sandbox's scripted person.

    Raises:
        SignedOut: at once, if the environment gives neither; it says what to set.
        LexofficeError: if it did not work.
    """
    person = os.environ.get(SANDBOX_PERSON)
    scripted = bool(person) and flow.request.provider == "sandbox" and not flow.request.issuer
    try:
        if not (flow.has_key or scripted):
            raise SignedOut("signed_out_no_person")
        flow.prepare()
        if flow.state == "waiting" and scripted and person and not flow.request.api_key:
            flow.answer(_scripted(flow.link, person))
        problem = None if flow.state == "signed_in" else flow.problem or SignedOut("signed_out_no_person")
    finally:
        if flow.state != "signed_in":
            flow.close()
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


def _raise_without_link(flow: LoginFlow) -> None:
    problem = flow.problem
    if flow.state == "failed" and not flow.link and isinstance(problem, LexofficeError):
        raise problem


def _show_link(flow: LoginFlow) -> None:
    if flow.provider is None:
        return
    provider = provider_title(flow.provider.name, flow.provider.title)
    if flow.request.api_key:
        if flow.provider.key_page:
            _say(text("terminal.key.page", url=flow.provider.key_page))
        return
    asked = scope_lines(flow.request.scopes or flow.provider.scopes)
    _say(text("terminal.open", provider=provider, host=flow.host))
    _say(f"\n    {flow.link}\n")
    _say(text("terminal.scopes", scopes=", ".join(line.text for line in asked)))


def _ask(flow: LoginFlow, read: Callable[[str, Wake], Secret | None]) -> None:
    key = flow.request.api_key
    prompt = "terminal.key.prompt" if key else "terminal.prompt" if flow.listening else "terminal.prompt.only"
    with Wake() as wake:

        def look(_: object = None) -> None:
            # A refused callback is said as well: its explanation and the new link must reach the person.
            if flow.state in ("signed_in", "failed") or (flow.state == "waiting" and flow.problem):
                wake.set()

        flow.problem = None
        flow.observe(look, names="version")
        try:
            line = None if flow.state == "signed_in" else read(text(prompt), wake)
        finally:
            flow.unobserve(look, names="version")
    if line is not None:
        (flow.try_key if key else flow.answer)(line)


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

    line = getpass.getpass(text("terminal.kernel", prompt=prompt))
    return None if wake.is_set() and not line else Secret(line)


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
