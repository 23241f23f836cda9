"""Reads a pasted callback URL in a terminal, without echo, while a loopback listener may win at the same time.

``getpass`` cannot do this: it reads in canonical mode, where the terminal cuts a line at 4095 (Linux) or 1024 (macOS)
characters, it leaves the marks of a bracketed paste in the text, and nothing but the person can end it. So the terminal
is switched to single characters here (termios; msvcrt on Windows) and put back in every case.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

if sys.platform == "win32":
    import msvcrt
else:
    import select
    import termios

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_QUIET_SECONDS = 0.05  # a pause this long ends a paste that is thrown away
_QUIET_SECONDS_TOO_LONG = 0.2  # a long paste comes in pieces, over SSH with pauses
_DRAIN_SECONDS = 3.0
_POLL_SECONDS = 0.05  # Windows cannot wait for a console and an event together
_SLICE_SECONDS = 0.2  # the longest that a Ctrl-C in the instant before a select goes unnoticed


class Wake:
    """Ends a :func:`read_secret_line` from another thread (the self-pipe trick). Once set, it stays set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._closed = False
        self._reader, self._writer = os.pipe()

    def __enter__(self) -> Wake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def is_set(self) -> bool:
        """Whether :meth:`set` was called."""
        return self._is_set

    def set(self) -> None:
        """Wakes the reader. From any thread, any number of times, also after :meth:`close`."""
        with self._lock:
            if not self._is_set and not self._closed:
                os.write(self._writer, b"!")  # one byte that nobody reads: the pipe stays readable
            self._is_set = True

    def fileno(self) -> int:
        """The descriptor that becomes readable when :meth:`set` was called."""
        return self._reader

    def close(self) -> None:
        """Gives the pipe back. Not while a reader waits for it."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                os.close(self._writer)


class _TooLongError(Exception):
    """More characters than allowed; carries nothing of them."""


class _Line:
    """The line as it is typed: edits it, and takes out what a terminal puts between the characters (ECMA-48, 5.4).

    Its repr shows nothing of the text, because an interrupt may come while it is a local variable somewhere.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._characters: list[str] = []
        self._sequence: str | None = None  # of a control sequence that is not complete yet
        self._in_paste = False
        self.ended = False

    def __len__(self) -> int:
        return len(self._characters)

    def text(self) -> str:
        return "".join(self._characters)

    def feed(self, text: str) -> None:
        """Takes the next characters; sets ``ended`` at CR or LF, raises EOFError at Ctrl-D on an empty line."""
        for character in text:
            if self._sequence is not None and self._continues(character):
                continue
            self._take(character)
            if self.ended:
                return

    def _take(self, character: str) -> None:
        if character == "\x1b":
            self._sequence = ""
        elif character in "\r\n":
            # A copied address often brings the line break before it along; it is not the end of an empty answer.
            self.ended = not (self._in_paste and not self._characters)
        elif character.isprintable():
            self._append(character)
        elif not self._in_paste:  # control characters inside a paste are no keys
            self._edit(character)

    def _append(self, character: str) -> None:
        if len(self._characters) >= self._limit:
            raise _TooLongError
        self._characters.append(character)

    def _edit(self, key: str) -> None:
        if key in "\x08\x7f":
            del self._characters[-1:]
        elif key == "\x15":  # Ctrl-U
            self._characters.clear()
        elif key == "\x04" and not self._characters:  # Ctrl-D
            raise EOFError

    def _continues(self, character: str) -> bool:
        """Whether the character belongs to the sequence that an ESC began; it may have come in an earlier read."""
        if character < " ":  # a sequence that breaks off: the key counts
            self._sequence = None
            return False
        sequence = (self._sequence or "") + character
        if len(sequence) == 1:
            # Only CSI and SS3 go on. Else ESC was a key of its own, and what follows may be the beginning of a paste.
            self._sequence = sequence if character in "[O" else None
            return self._sequence is not None
        complete = "@" <= character <= "~"
        self._sequence = None if complete else sequence[:16]  # 16: longer ones are skipped, not collected
        if sequence in ("[200~", "[201~"):
            self._in_paste = sequence == "[200~"
        return True


class _Feedback:
    """Shows on the same line how many characters arrived, so that a person sees that the paste did."""

    def __init__(self, stream: TextIO, template: str) -> None:
        self._stream = stream
        self._template = template
        self._shown = ""
        self._on = stream.isatty()

    def show(self, count: int) -> None:
        if not self._on:
            return
        text = self._template.format(count) if count else ""
        # Backspaces and not ESC codes: they need to know nothing of the prompt, and old Windows consoles have them.
        back = "\b" * len(self._shown)
        rest = len(self._shown) - len(text)
        self._stream.write(back + text + (" " * rest + "\b" * rest if rest > 0 else ""))
        self._stream.flush()
        self._shown = text


def read_secret_line(
    prompt: str,
    *,
    wake: Wake,
    stream_in: TextIO | None = None,
    stream_out: TextIO | None = None,
    limit: int = 16000,
    received: str = "[{} characters received]",
) -> str | None:
    """Asks for one line without showing it, until it is entered or ``wake`` is set.

    CR or LF ends the line; backspace and Ctrl-U edit it; other keys that send control sequences do nothing. In a
    terminal everything that is typed before the prompt, or left over after the line, is thrown away, so that the rest
    of a paste is neither shown nor taken as the next command. From a pipe exactly one line is read.

    Args:
        prompt: Is written first, as it is.
        wake: Ends the reading from another thread.
        stream_in: A terminal or a pipe; ``sys.stdin`` unless given. Its file descriptor is read directly.
        stream_out: For prompt and feedback; ``sys.stderr`` unless given, as the output may go into a file.
        limit: The most characters the line may have.
        received: What is shown in place of the text, with ``{}`` for the count of characters.

    Returns:
        The line without its end, perhaps empty; None when ``wake`` was set first.

    Raises:
        EOFError: If the input ended (Ctrl-D on an empty line, a closed pipe), so nobody is there to paste anything.
        KeyboardInterrupt: On Ctrl-C.
        ValueError: If the line is longer than ``limit``.
        OSError: If ``stream_in`` has no file descriptor (inside a kernel: use ``getpass`` there).
    """
    stream_in = sys.stdin if stream_in is None else stream_in
    stream_out = sys.stderr if stream_out is None else stream_out
    problem: BaseException
    try:
        return _ask(prompt, wake, stream_in, _Feedback(stream_out, received), stream_out, limit)
    except KeyboardInterrupt:
        problem = KeyboardInterrupt()
    except EOFError:
        problem = EOFError("the input ended before a line was entered")
    except _TooLongError:
        problem = ValueError(
            f"more than {limit} characters were entered, so none of them were used; "
            "copy only the address from the browser's address bar and paste it again"
        )
    # A new one, outside the except block: frames of the old one hold typed text, and a verbose traceback shows them.
    raise problem


def _ask(prompt: str, wake: Wake, stream_in: TextIO, feedback: _Feedback, stream_out: TextIO, limit: int) -> str | None:
    def begin() -> None:  # only once the terminal is silent: whoever sees the prompt may paste
        stream_out.write(prompt)
        stream_out.flush()

    fd = stream_in.fileno()
    try:
        if not stream_in.isatty():
            begin()
            return _read_pipe(fd, wake, limit)
        return _read_terminal(fd, wake, _Line(limit), feedback, begin)
    finally:
        with contextlib.suppress(OSError):  # the terminal was closed
            stream_out.write("\n")
            stream_out.flush()


if sys.platform == "win32":

    def _read_terminal(fd: int, wake: Wake, line: _Line, feedback: _Feedback, begin: Callable[[], None]) -> str | None:
        """Polls the console, which knows no echo with ``getwch``."""
        _flush_console()
        begin()
        try:
            while not wake.is_set():
                if not msvcrt.kbhit():
                    time.sleep(_POLL_SECONDS)
                    continue
                while msvcrt.kbhit() and not line.ended:
                    _feed_key(line)
                feedback.show(len(line))
                if line.ended:
                    return line.text()
            return None
        finally:
            _flush_console()

    def _feed_key(line: _Line) -> None:
        key = msvcrt.getwch()
        if key in ("\x00", "\xe0"):
            msvcrt.getwch()  # the second half of an arrow or function key
        elif key == "\x03":
            raise KeyboardInterrupt  # getwch gives Ctrl-C as a character
        else:
            line.feed("\x04" if key == "\x1a" else key)  # Ctrl-Z ends the input on Windows

    def _flush_console() -> None:
        end = time.monotonic() + _DRAIN_SECONDS
        quiet = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < min(end, quiet):
            if msvcrt.kbhit():
                msvcrt.getwch()
                quiet = time.monotonic() + _QUIET_SECONDS
            else:
                time.sleep(0.01)

    def _read_pipe(fd: int, wake: Wake, limit: int) -> str | None:
        """Reads in a thread, because ``select`` knows only sockets on Windows."""
        result: list[str | BaseException | None] = []

        def read() -> None:
            try:
                result.append(_read_one_line(lambda: os.read(fd, 1), limit))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                result.append(error)

        threading.Thread(target=read, name="terminal-reader", daemon=True).start()
        while not result and not wake.is_set():
            time.sleep(_POLL_SECONDS)
        if not result:
            return None
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

else:

    def _read_terminal(fd: int, wake: Wake, line: _Line, feedback: _Feedback, begin: Callable[[], None]) -> str | None:
        """Reads single characters without echo; Ctrl-C stays a signal."""
        before = termios.tcgetattr(fd)
        quiet = _QUIET_SECONDS
        try:
            termios.tcsetattr(fd, termios.TCSAFLUSH, _silent(fd, before))
            begin()
            return _read_until_end(fd, wake, line, feedback)
        except _TooLongError:
            quiet = _QUIET_SECONDS_TOO_LONG
            raise
        finally:
            try:
                _discard(fd, quiet)  # while the terminal is still silent
            finally:
                with contextlib.suppress(termios.error):  # the terminal was closed
                    termios.tcsetattr(fd, termios.TCSAFLUSH, before)

    def _silent(fd: int, before: list[Any]) -> list[Any]:
        after = [*before[:6], list(before[6])]
        after[0] &= ~termios.IXON  # Ctrl-S would seem to hang
        # IEXTEN: its keys (Ctrl-O, Ctrl-Y on macOS) work outside canonical mode too.
        after[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN)
        after[3] |= termios.ISIG
        after[6][termios.VMIN], after[6][termios.VTIME] = 1, 0
        # A program that is stopped (Ctrl-Z) or killed (Ctrl-\) here would leave the shell with a silent terminal.
        disabled = os.fpathconf(fd, "PC_VDISABLE").to_bytes(1, "big")
        after[6][termios.VSUSP] = after[6][termios.VQUIT] = disabled
        return after

    def _read_until_end(fd: int, wake: Wake, line: _Line, feedback: _Feedback) -> str | None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while _wait(fd, wake):
            if not _feed(fd, line, decoder):
                raise EOFError
            feedback.show(len(line))
            if line.ended:
                return line.text()
        return None

    def _wait(fd: int, wake: Wake) -> bool:
        """Waits until there is something to read; False when ``wake`` was set, which goes first."""
        ready: list[int] = []
        while not ready:
            ready, _, _ = select.select([fd, wake.fileno()], [], [], _SLICE_SECONDS)
        return wake.fileno() not in ready

    def _feed(fd: int, line: _Line, decoder: codecs.IncrementalDecoder) -> bool:
        """Reads once; False at the end of the input. Apart, so that no text stays in the frame that waits."""
        try:
            data = os.read(fd, 4096)
        except OSError:  # EIO: the terminal was closed, or is no longer ours
            return False
        line.feed(decoder.decode(data))
        return bool(data)

    def _discard(fd: int, quiet: float) -> None:
        """Reads away what still arrives, until a pause."""
        end = time.monotonic() + _DRAIN_SECONDS
        with contextlib.suppress(OSError):
            while time.monotonic() < end and select.select([fd], [], [], quiet)[0]:
                if not os.read(fd, 65536):
                    return

    def _read_pipe(fd: int, wake: Wake, limit: int) -> str | None:
        def read() -> bytes | None:
            return os.read(fd, 1) if _wait(fd, wake) else None

        return _read_one_line(read, limit)


def _read_one_line(read: Callable[[], bytes | None], limit: int) -> str | None:
    """Reads byte by byte, so that the next line stays for whoever reads next; too long a line is read to its end."""
    data = bytearray()
    while (byte := read()) != b"\n":
        if byte is None:
            return None
        if not byte and not data:
            raise EOFError
        if not byte:
            break
        if len(data) <= 4 * limit + 1:  # 4 bytes at most make one character (RFC 3629)
            data += byte
    text = data.decode("utf-8", "replace").removesuffix("\r")
    if len(text) > limit:
        raise _TooLongError
    return text
