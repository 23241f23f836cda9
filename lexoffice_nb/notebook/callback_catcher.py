"""Catches the callback on this machine: which redirect URI that is, who holds its port, and what the browser sees."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple
from urllib.parse import urlsplit

from lexoffice_nb.errors import LoginError
from lexoffice_nb.notebook.loopback import LoopbackListener, Page, PortTaken
from lexoffice_nb.notebook.port_holder import who_listens
from lexoffice_nb.oauth.tokens import Secret
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
    """The listener of a sign-in. It is opened when a link needs it, and stays for the next link.

    Sign-ins whose redirect URI has one fixed port share its listener; each callback goes to the one that it answers.

    Args:
        on_callback: gets a callback URL, and gives the page to show.
        knows: tells whether a callback answers a link of this sign-in.
    """

    def __init__(self, on_callback: Callable[[str], Page], knows: Callable[[Secret], bool]) -> None:
        self._on_callback, self._knows = on_callback, knows
        self._shared: _SharedListener | None = None
        self._lock = threading.Lock()

    def handed_to(self, on_callback: Callable[[str], Page], knows: Callable[[Secret], bool]) -> CallbackCatcher:
        """Gives the listener, open or not, to another sign-in."""
        self._on_callback, self._knows = on_callback, knows
        return self

    def listen(self, wanted: str | None, port: int) -> str:
        """Listens, and gives the redirect URI.

        Args:
            wanted: the registered redirect URI, for which `can_be_caught` holds; None for one of our own.
            port: the port for one of our own; 0 takes a free one.

        Raises:
            LoginError: if the port cannot be had.
        """
        with self._lock:
            if self._shared is None or self._shared.listener.closed:
                parts = urlsplit(wanted or f"http://127.0.0.1:{port}{CALLBACK_PATH}")
                host: Host = "localhost" if parts.hostname == "localhost" else "127.0.0.1"
                place = _Place(host, (parts.port or 80) if wanted else port, parts.path or "/")
                self._shared = _SharedListener.at(place, self)
            return wanted or self._shared.listener.redirect_uri

    def close(self, after: float = 0.0) -> None:
        """Gives the port back, if no other sign-in waits there; answers under way have `after` seconds to arrive."""
        with self._lock:
            shared, self._shared = self._shared, None
        if shared:
            shared.leave(self, after)


class _Place(NamedTuple):
    host: Host
    port: int
    path: str


class _SharedListener:
    """One listener, and the sign-ins that wait there."""

    _open: ClassVar[dict[_Place, _SharedListener]] = {}
    _changing: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, place: _Place, first: CallbackCatcher) -> None:
        self.catchers = [first]
        self.place = place
        self.listener = _listener(self._caught, place)

    @classmethod
    def at(cls, place: _Place, catcher: CallbackCatcher) -> _SharedListener:
        """Gives the listener of a place; one with a free port of its own is never shared.

        Raises:
            LoginError: if the port cannot be had.
        """
        if place.port == 0:
            return cls(place, catcher)
        with cls._changing:
            shared = cls._open.get(place)
            if shared is None or shared.listener.closed:
                shared = cls._open[place] = cls(place, catcher)
            else:
                shared.catchers.append(catcher)
            return shared

    def leave(self, catcher: CallbackCatcher, after: float) -> None:
        with self._changing:
            if catcher in self.catchers:
                self.catchers.remove(catcher)
            if self.catchers:
                return
            if self._open.get(self.place) is self:
                del self._open[self.place]
        self.listener.close(after=after)

    def _caught(self, url: str) -> Page:
        callback = Secret(url)
        catchers = tuple(reversed(self.catchers))
        # What answers nobody's link is refused by the newest one, where the person is looking.
        catcher = next((c for c in catchers if c._knows(callback)), next(iter(catchers), None))
        return catcher._on_callback(url) if catcher else page("over", 410)


def _listener(on_callback: Callable[[str], Page], place: _Place) -> LoopbackListener:
    pages = {"not_found": page("not_found", 404), "over": page("over", 410)}
    try:
        return LoopbackListener(on_callback, host=place.host, port=place.port, path=place.path, **pages)
    except PortTaken:
        problem = LoginError("port_taken", port=place.port, who=who_listens(place.port) or text("port_holder.program"))
    except OSError as error:  # a port below 1024, a sandboxed process
        problem = LoginError("port_refused", port=place.port, reason=error.strerror or type(error).__name__)
    except ValueError:
        problem = LoginError("redirect_uri_not_allowed")
    raise problem


def page(key: str, status: int) -> Page:
    """Gives one of the pages that the browser shows, in the person's language."""
    ok = key in ("done", "checking", "over")
    return Page(text(f"page.{key}.title"), text(f"page.{key}"), ok=ok, status=status, lang=current_language())


def already(said: LexofficeError) -> Page:
    """Gives the page that an older tab gets when its sign-in is done."""
    words = f"{said.what()}\n{said.next()}"
    return Page(text("page.already.title"), words, ok=True, status=200, lang=current_language())


def refusal(problem: LexofficeError, goes_on: str) -> Page:
    """Gives the page that says why a callback was refused, and where it goes on (a text's key, or the remedy)."""
    words = f"{problem.what()}\n{text(goes_on) if goes_on else problem.next()}"
    return Page(text("page.refused.title"), words, ok=False, status=400, lang=current_language())
