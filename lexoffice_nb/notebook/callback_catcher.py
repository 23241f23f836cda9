"""Catches the callback on this machine: which redirect URI that is, who holds its port, and what the browser sees."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from lexoffice_nb.errors import LoginError
from lexoffice_nb.notebook.loopback import LoopbackListener, Page, PortTaken
from lexoffice_nb.texts import current_language, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.errors import LexofficeError

Host = Literal["127.0.0.1", "localhost"]
CALLBACK_PATH = "/callback"
# A port that no browser connects to (the Fetch standard blocks it), so that nobody on this machine can be listening
# there for a callback that is meant to be pasted.
PASTE_ONLY_REDIRECT_URI = f"http://127.0.0.1:1{CALLBACK_PATH}"


def can_be_caught(redirect_uri: str) -> bool:
    """Tells whether the listener serves a redirect URI: `http`, and the literal 127.0.0.1 or `localhost`."""
    try:
        parts = urlsplit(redirect_uri)
        return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost") and parts.port != 0
    except ValueError:
        return False


class CallbackCatcher:
    """The one listener of a sign-in. It is opened when a link needs it, and stays for the next link.

    Args:
        on_callback: gets a callback URL, and gives the page to show.
    """

    def __init__(self, on_callback: Callable[[str], Page]) -> None:
        self._on_callback = on_callback
        self._listener: LoopbackListener | None = None
        self._lock = threading.Lock()

    def listen(self, wanted: str | None, port: int) -> str:
        """Listens, and gives the redirect URI.

        Args:
            wanted: the registered redirect URI, for which `can_be_caught` holds; None for one of our own.
            port: the port for one of our own; 0 takes a free one.

        Raises:
            LoginError: if the port cannot be had.
        """
        with self._lock:
            if self._listener is None or self._listener.closed:
                parts = urlsplit(wanted or f"http://127.0.0.1:{port}{CALLBACK_PATH}")
                host: Host = "localhost" if parts.hostname == "localhost" else "127.0.0.1"
                self._listener = self._open(host, (parts.port or 80) if wanted else port, parts.path or "/")
            return wanted or self._listener.redirect_uri

    def _open(self, host: Host, port: int, path: str) -> LoopbackListener:
        pages = {"not_found": page("not_found", 404), "over": page("over", 410)}
        try:
            return LoopbackListener(self._on_callback, host=host, port=port, path=path, **pages)
        except PortTaken:
            problem = LoginError("port_taken", port=port)
        except OSError as error:  # a port below 1024, a sandboxed process
            problem = LoginError("port_refused", port=port, reason=error.strerror or type(error).__name__)
        except ValueError:
            problem = LoginError("redirect_uri_not_allowed")
        raise problem

    def close(self, after: float = 0.0) -> None:
        """Gives the port back; answers under way have `after` seconds to reach the browser."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener:
            listener.close(after=after)


def page(key: str, status: int) -> Page:
    """Gives one of the pages that the browser shows, in the person's language."""
    ok = key in ("done", "checking", "over")
    return Page(text(f"page.{key}.title"), text(f"page.{key}"), ok=ok, status=status, lang=current_language())


def refusal(problem: LexofficeError, *, new_link: bool) -> Page:
    """Gives the page that says why a callback was refused, and where it goes on."""
    words = f"{problem.what()}\n{text('page.new_link') if new_link else problem.next()}"
    return Page(text("page.refused.title"), words, ok=False, status=400, lang=current_language())
