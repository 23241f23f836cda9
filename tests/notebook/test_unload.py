"""Unloading undoes all of it."""

from __future__ import annotations

import gc
import socket
import weakref
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest
from IPython.core.error import UsageError
from ipywidgets.widgets.widget import _instances

from lexoffice_nb.notebook import quiet_log, sign_in
from lexoffice_nb.notebook.magics import LexofficeMagics
from lexoffice_nb.notebook.sign_in_request import SignInRequest
from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import current_language
from tests.notebook.conftest import eventually, our_threads

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def unload(ip: InteractiveShell) -> None:
    ip.extension_manager.unload_extension("lexoffice_nb")


def traces(ip: InteractiveShell) -> dict[str, object]:
    """Everything in a shell that an extension can change."""
    manager = ip.magics_manager
    return {
        "magics": {kind: set(names) for kind, names in manager.magics.items()},
        "registry": set(manager.registry),
        "configurables": list(map(id, ip.configurables)),
        "completers": set(ip.strdispatchers["complete_command"].strs),
        "callbacks": {event: list(functions) for event, functions in ip.events.callbacks.items()},
        "names": set(ip.user_ns),
        "hidden": set(ip.user_ns_hidden),
        "transformers": [*ip.input_transformers_post, *ip.input_transformers_cleanup, *ip.ast_transformers],
        "exceptions": ip.custom_exceptions,
    }


def waiting(name: str = "lexoffice") -> sign_in._SignIn:
    """A sign-in with a card that waits, as in a notebook."""
    sign_in._begin(name, SignInRequest(), "card", language="auto", shown=True)
    known = sign_in._sign_ins[name]
    eventually(lambda: known.flow.state == "waiting")
    return known


def test_unloading_leaves_the_shell_as_it_was(ip: InteractiveShell) -> None:
    before = traces(ip)
    ip.extension_manager.load_extension("lexoffice_nb")
    assert traces(ip) != before
    unload(ip)
    assert traces(ip) == before
    with pytest.raises(UsageError):
        ip.run_line_magic("lexoffice_login", "")


@pytest.mark.usefixtures("as_demo", "box")
def test_unloading_a_signed_in_shell_takes_the_session_and_all_that_it_held(ip: InteractiveShell) -> None:
    before = traces(ip)
    ip.extension_manager.load_extension("lexoffice_nb")
    ip.run_line_magic("lexoffice_login", "")
    first = ip.user_ns["lexoffice"]
    ip.run_line_magic("lexoffice_login", "--force")
    second = ip.user_ns["lexoffice"]
    ip.user_ns["Out"][1] = ip.user_ns["_1"] = second
    unload(ip)
    assert traces(ip) == before
    assert not ip.user_ns["Out"]
    for session in (first, second):
        assert not session.signed_in


@pytest.mark.usefixtures("as_demo", "box")
def test_unloading_leaves_what_is_not_ours(ip: InteractiveShell) -> None:
    own = LexofficeSession()
    ip.user_ns["own"] = own
    ip.extension_manager.load_extension("lexoffice_nb")
    ip.run_line_magic("lexoffice_login", "")
    ip.user_ns["lexoffice"] = "mine now"
    unload(ip)
    assert (ip.user_ns["lexoffice"], ip.user_ns["own"]) == ("mine now", own)


@pytest.mark.usefixtures("box")
def test_unloading_while_a_sign_in_waits_closes_port_threads_and_card(loaded: InteractiveShell) -> None:
    before = set(_instances)
    held = len(psutil.Process().net_connections("tcp"))
    known = waiting()
    port = urlsplit(known.flow.redirect_uri).port
    assert our_threads()
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    unload(loaded)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    eventually(lambda: not our_threads(), 3)
    eventually(lambda: len(psutil.Process().net_connections("tcp")) <= held, 5)
    assert set(_instances) <= before
    assert known.flow.state == "closed"


@pytest.mark.usefixtures("box")
def test_unloading_closes_the_earlier_cards_too(loaded: InteractiveShell) -> None:
    before = set(_instances)
    first = waiting()
    first.flow.close()
    waiting()
    waiting("other")
    unload(loaded)
    eventually(lambda: not our_threads(), 3)
    assert set(_instances) <= before


@pytest.mark.usefixtures("box")
def test_nothing_of_an_unloaded_sign_in_is_kept_alive(loaded: InteractiveShell) -> None:
    known = waiting()
    kept = [weakref.ref(known.flow), weakref.ref(known.card), weakref.ref(known.flow.session)]
    magics = next(c for c in loaded.configurables if isinstance(c, LexofficeMagics))
    kept.append(weakref.ref(magics))
    del known, magics
    unload(loaded)
    eventually(lambda: not our_threads(), 3)
    loaded.displayhook.flush()
    gc.collect()
    assert [ref() for ref in kept] == [None] * 4


@pytest.mark.usefixtures("box")
def test_the_filter_of_the_log_comes_with_the_first_card_and_goes(loaded: InteractiveShell) -> None:
    logger = quiet_log._loggers(loaded)[0]
    assert not logger.filters
    waiting()
    waiting()
    assert len(logger.filters) == 1
    unload(loaded)
    assert not logger.filters


def test_the_language_is_the_machines_again(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("config", "LexofficeMagics.language = 'de'")
    assert current_language() == "de"
    unload(loaded)
    assert current_language() == "en"


@pytest.mark.usefixtures("as_demo", "box")
def test_reloading_works(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    loaded.run_line_magic("reload_ext", "lexoffice_nb")
    assert "lexoffice" not in loaded.user_ns
    assert sum(isinstance(c, LexofficeMagics) for c in loaded.configurables) == 1
    loaded.run_line_magic("lexoffice_login", "")
    assert loaded.user_ns["lexoffice"].signed_in


def test_unloading_twice_is_harmless(ip: InteractiveShell) -> None:
    import lexoffice_nb

    lexoffice_nb.unload_ipython_extension(ip)
    ip.extension_manager.load_extension("lexoffice_nb")
    unload(ip)
    lexoffice_nb.unload_ipython_extension(ip)
