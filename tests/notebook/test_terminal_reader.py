"""The terminal's reader, on real pseudo-terminals and pipes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import fcntl
import pty
import struct
import termios

from lexoffice_nb.notebook.terminal_reader import Wake, _Line, read_secret_line

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT = "Paste the address: "
CODE = "SplxlOBeZQQYbYS6WxSbIA"
URL = f"http://127.0.0.1:49152/callback?code={CODE}&state=af0ifjsldkj"

# What the child does with the line goes through a pipe of its own, so that the terminal shows only what a person sees.
CHILD = """
import fcntl, json, os, signal, sys, termios, threading, time, traceback
sys.path.insert(0, os.getcwd())
report, options = int(sys.argv[1]), json.loads(sys.argv[2])
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when the tests run in the background
from lexoffice_nb.notebook.terminal_reader import Wake, read_secret_line
before = termios.tcgetattr(0)
result = {}
with Wake() as wake:
    if "wake" in options:
        def catch():
            time.sleep(options["wake"])
            result["set"] = time.monotonic()
            wake.set()
        threading.Thread(target=catch).start()
    try:
        result["line"] = read_secret_line(PROMPT, wake=wake, limit=options.get("limit", 16000))
    except BaseException as error:
        result["error"] = [type(error).__name__, str(error)]
        result["clean"] = error.__context__ is None and error.__cause__ is None
        frames, result["locals"] = error.__traceback__, ""
        while frames:
            result["locals"] += repr(frames.tb_frame.f_locals)
            frames = frames.tb_next
    result["returned"] = time.monotonic()
result["restored"] = termios.tcgetattr(0) == before
if options.get("next"):
    time.sleep(0.3)
    import select
    result["left"] = bool(select.select([0], [], [], 0)[0])
os.write(report, json.dumps(result).encode())
""".replace("PROMPT", repr(PROMPT))


class Terminal:
    """A child that reads a line in a terminal of its own."""

    def __init__(self, **options: Any) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.report, report = os.pipe()
        self.child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(report), json.dumps(options)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            pass_fds=[report],
            start_new_session=True,
        )
        self.slave = slave  # stays open here, to look at the modes
        os.close(report)
        self.shown = b""

    def read_until(self, what: bytes, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while what not in self.shown:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{what!r} was not shown, but {self.shown!r}")
            self.shown += os.read(self.master, 65536)

    def type(self, data: bytes) -> None:
        self.read_until(PROMPT.encode())
        writer = threading.Thread(target=self._write, args=(data,))
        writer.start()
        writer.join(10)
        assert not writer.is_alive(), "nobody reads"

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.master, data) :]

    def result(self) -> dict[str, Any]:
        content = b"".join(iter(lambda: os.read(self.report, 65536), b""))
        self.child.wait(10)
        while select.select([self.master], [], [], 0.1)[0]:
            self.shown += os.read(self.master, 65536)
        assert content, self.shown.decode()
        found: dict[str, Any] = json.loads(content)
        return found

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        for fd in (self.master, self.slave, self.report):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def terminals() -> Iterator[type[Terminal]]:
    opened: list[Terminal] = []

    class Kept(Terminal):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            opened.append(self)

    yield Kept
    for terminal in opened:
        terminal.close()


def typed(terminals: type[Terminal], data: bytes, **options: Any) -> tuple[dict[str, Any], bytes]:
    terminal = terminals(**options)
    terminal.type(data)
    return terminal.result(), terminal.shown


def line_of(*pieces: str, limit: int = 16000) -> _Line:
    line = _Line(limit)
    for piece in pieces:
        line.feed(piece)
    return line


# --- in a terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_pasted_url_arrives_and_is_never_shown(terminals: type[Terminal], end: bytes) -> None:
    result, shown = typed(terminals, URL.encode() + end)
    assert result["line"] == URL
    assert result["restored"]
    assert CODE.encode() not in shown
    assert b"http" not in shown


def test_person_sees_how_many_characters_arrived(terminals: type[Terminal]) -> None:
    terminal = terminals()
    terminal.type(b"x" * 412)
    terminal.read_until(b"[412 characters received]")
    terminal.type(b"\x15\r")
    assert terminal.result()["line"] == ""
    assert b"x" not in terminal.shown
    assert terminal.shown.endswith(b"\b" * 25 + b" " * 25 + b"\b" * 25 + b"\r\n")  # taken away again after Ctrl-U


def test_paste_of_16000_characters_arrives_whole(terminals: type[Terminal]) -> None:
    """Canonical mode would cut it at 4095 characters on Linux and at 1024 on macOS."""
    paste = "http://127.0.0.1/callback?code=".ljust(15_990, "k") + "0123456789"
    result, shown = typed(terminals, paste.encode() + b"\r")
    assert result["line"] == paste
    assert b"kk" not in shown
    assert b"[16000 characters received]" in shown


def test_more_than_the_limit_is_an_error_and_nothing_is_left_for_the_next_command(terminals: type[Terminal]) -> None:
    result, shown = typed(terminals, b"z" * 40_000 + b"\rrm -r /\r", next=True)
    assert result["error"][0] == "ValueError"
    assert "16000 characters" in result["error"][1]
    assert not result["left"]
    assert result["restored"]
    assert b"zz" not in shown
    assert b"rm -r" not in shown


def test_rest_of_a_paste_of_several_lines_is_thrown_away(terminals: type[Terminal]) -> None:
    result, shown = typed(terminals, b"first line\nsecond " + CODE.encode() + b"\nthird\n", next=True)
    assert result["line"] == "first line"
    assert not result["left"]
    assert CODE.encode() not in shown


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_bracketed_paste_marks_are_taken_out_also_when_split_over_reads(terminals: type[Terminal], size: int) -> None:
    terminal = terminals()
    data = b"\x1b[200~" + URL.encode() + b"\x1b[201~\r"
    for start in range(0, len(data), size):
        terminal.type(data[start : start + size])
        time.sleep(0.002)
    assert terminal.result()["line"] == URL
    assert CODE.encode() not in terminal.shown
    assert b"\x1b" not in terminal.shown
    assert b"^[" not in terminal.shown


def test_end_mark_behind_the_line_break_of_a_paste_is_not_left_in_the_terminal(terminals: type[Terminal]) -> None:
    result, shown = typed(terminals, b"\x1b[200~" + URL.encode() + b"\n\x1b[201~", next=True)
    assert result["line"] == URL
    assert not result["left"]
    assert b"201~" not in shown


def test_wake_ends_the_reading_within_a_fifth_of_a_second_and_restores_the_modes(terminals: type[Terminal]) -> None:
    terminal = terminals(wake=0.7, next=True)
    terminal.type(b"half a URL " + CODE.encode())
    result = terminal.result()
    assert result["line"] is None
    assert result["returned"] - result["set"] < 0.2
    assert result["restored"]
    assert not result["left"]
    assert CODE.encode() not in terminal.shown


def test_terminal_is_silent_before_the_prompt_is_shown_and_restored_afterwards(terminals: type[Terminal]) -> None:
    terminal = terminals()
    before = termios.tcgetattr(terminal.slave)
    terminal.read_until(PROMPT.encode())
    during = termios.tcgetattr(terminal.slave)
    assert before[3] & (termios.ECHO | termios.ICANON | termios.ISIG) == termios.ECHO | termios.ICANON | termios.ISIG
    assert during[3] & (termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG) == termios.ISIG
    terminal.type(b"\r")
    terminal.result()
    assert termios.tcgetattr(terminal.slave) == before


def test_what_was_typed_before_the_prompt_is_thrown_away(terminals: type[Terminal]) -> None:
    terminal = terminals()
    os.write(terminal.master, b"\n\ntoo early\n")
    terminal.type(b"now\r")
    assert terminal.result()["line"] == "now"


@pytest.mark.parametrize("by", ["key", "signal"])
def test_ctrl_c_restores_the_modes_and_the_exception_holds_nothing(terminals: type[Terminal], by: str) -> None:
    terminal = terminals()
    terminal.type(CODE.encode())
    terminal.read_until(b"characters received]")
    if by == "key":
        terminal.type(b"\x03")
    else:
        terminal.child.send_signal(signal.SIGINT)
    result = terminal.result()
    assert result["error"] == ["KeyboardInterrupt", ""]
    assert result["restored"]
    assert result["clean"]
    assert CODE not in result["locals"]
    assert CODE.encode() not in terminal.shown


@pytest.mark.parametrize("key", [b"\x1a", b"\x1c", b"\x13"])
def test_keys_that_would_stop_or_kill_the_program_with_a_silent_terminal_do_nothing(
    terminals: type[Terminal], key: bytes
) -> None:
    result, _ = typed(terminals, b"a" + key + b"b\r")
    assert result["line"] == "ab"


def test_ctrl_d_on_an_empty_line_is_the_end_of_the_input(terminals: type[Terminal]) -> None:
    result, _ = typed(terminals, b"a\x7f\x04")
    assert result["error"][0] == "EOFError"
    assert result["restored"]


def test_ctrl_d_behind_text_does_nothing(terminals: type[Terminal]) -> None:
    assert typed(terminals, b"a\x04b\r")[0]["line"] == "ab"


def test_terminal_that_is_closed_is_the_end_of_the_input() -> None:
    master, slave = pty.openpty()
    with Wake() as wake, os.fdopen(slave) as stream, contextlib.nullcontext(io.StringIO()) as out:
        threading.Timer(0.3, os.close, (master,)).start()
        with pytest.raises(EOFError):
            read_secret_line(PROMPT, wake=wake, stream_in=stream, stream_out=out)


def test_feedback_goes_only_to_a_terminal() -> None:
    master, slave = pty.openpty()
    out = io.StringIO()

    def type_after_the_prompt() -> None:
        while PROMPT not in out.getvalue():
            time.sleep(0.01)
        os.write(master, b"abc\r")

    typist = threading.Thread(target=type_after_the_prompt)
    typist.start()
    with Wake() as wake, os.fdopen(slave) as stream:
        assert read_secret_line(PROMPT, wake=wake, stream_in=stream, stream_out=out) == "abc"
    typist.join(5)
    os.close(master)
    assert out.getvalue() == f"{PROMPT}\n"


def test_too_long_a_line_is_in_no_frame_of_the_error(terminals: type[Terminal]) -> None:
    result, _ = typed(terminals, (CODE * 10).encode(), limit=100)
    assert result["error"][0] == "ValueError"
    assert result["clean"]
    assert CODE not in result["locals"] + result["error"][1]


# --- what is between the characters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["ab\x7fc\x08d\r"], "ad"),
        (["\x7f\x7fa\r"], "a"),
        (["wrong\x15right\r"], "right"),
        (["a\x1b[D\x1b[1;5Cb\x1bOPc\x1b[15~\r"], "abc"),
        (["a\x1b", "[", "1", "5", "~b\r"], "ab"),
        (["\x1bhttp://x\r"], "http://x"),  # ESC was pressed before the paste
        (["\x1b\x1b[Ahttp\r"], "http"),
        (["a\x1b[1\rb"], "a"),
        (["\x1b[" + "1" * 5000 + "~a\r"], "a"),
        (["\x1b[200~\r\n http\r"], " http"),
        (["\x1b[200~ab\x7f\x15\x04\x03c\x1b[201~d\x7f\r"], "abc"),
        (["\x1b[200~a\x1b[201", "~", "\r"], "a"),
        (["a\tb\x00c\u200b\u202ed\r"], "abcd"),
        (["grün\r"], "grün"),
        (["\r"], ""),
    ],
)
def test_line_is_edited_as_in_a_terminal(pieces: list[str], text: str) -> None:
    line = line_of(*pieces)
    assert line.ended
    assert line.text() == text
    assert len(line) == len(text)


def test_line_that_is_not_entered_has_not_ended() -> None:
    assert not line_of("abc").ended


def test_repr_of_the_line_shows_nothing() -> None:
    assert CODE not in repr(line_of(CODE))


# --- from a pipe ----------------------------------------------------------------------------------------------------


def piped(data: bytes, *, limit: int = 16000) -> tuple[str | None, bytes]:
    """The line that was read, and what is left in the pipe."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    with Wake() as wake, os.fdopen(reader) as stream, contextlib.nullcontext(io.StringIO()) as out:
        return read_secret_line("", wake=wake, stream_in=stream, stream_out=out, limit=limit), os.read(reader, 99)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_one_line_is_read_from_a_pipe(end: bytes) -> None:
    assert piped(URL.encode() + end) == (URL, b"")


def test_next_line_stays_in_the_pipe() -> None:
    assert piped(b"first\nsecond\n") == ("first", b"second\n")


def test_empty_pipe_is_the_end_of_the_input() -> None:
    with pytest.raises(EOFError, match="input ended"):
        piped(b"")


def test_empty_line_in_a_pipe_is_an_empty_line() -> None:
    assert piped(b"\n") == ("", b"")


@pytest.mark.parametrize(
    ("text", "fits"), [("x" * 100, True), ("x" * 101, False), ("ü" * 100, True), ("ü" * 300, False)]
)
def test_limit_counts_characters_in_a_pipe(text: str, fits: bool) -> None:
    if fits:
        assert piped(text.encode() + b"\r\n", limit=100) == (text, b"")
    else:
        around = sys.exception()  # of whoever runs the tests; nobody's where nothing went wrong before
        with pytest.raises(ValueError, match="more than 100 characters") as caught:
            piped(text.encode() + b"\n", limit=100)
        assert "xxx" not in str(caught.value)
        assert caught.value.__context__ is around


def test_too_long_a_line_is_read_from_the_pipe_to_its_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x" * 5000 + b"\nnext\n")
    with Wake() as wake, os.fdopen(reader) as stream, contextlib.nullcontext(io.StringIO()) as out:
        with pytest.raises(ValueError, match="more than"):
            read_secret_line("", wake=wake, stream_in=stream, stream_out=out, limit=10)
        assert read_secret_line("", wake=wake, stream_in=stream, stream_out=out, limit=10) == "next"
    os.close(writer)


def test_wake_ends_the_reading_from_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"half a line")
    with Wake() as wake, os.fdopen(reader) as stream, contextlib.nullcontext(io.StringIO()) as out:
        threading.Timer(0.2, wake.set).start()
        began = time.monotonic()
        assert read_secret_line("", wake=wake, stream_in=stream, stream_out=out) is None
        assert time.monotonic() - began < 0.4
    os.close(writer)


def test_interrupt_in_the_middle_of_a_line_leaves_no_text_in_any_frame() -> None:
    """A verbose traceback shows the local variables of every frame."""
    reader, writer = os.pipe()
    os.write(writer, CODE.encode())
    seen, around = "", sys.exception()
    with Wake() as wake, os.fdopen(reader) as stream, contextlib.nullcontext(io.StringIO()) as out:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when run in the background
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt) as caught:
            read_secret_line("", wake=wake, stream_in=stream, stream_out=out)
        signal.signal(signal.SIGINT, before)
        assert not select.select([stream], [], [], 0)[0]  # it had been read
    frame = caught.value.__traceback__
    while frame:
        seen += repr(frame.tb_frame.f_locals)
        frame = frame.tb_next
    os.close(writer)
    assert "stream_in" in seen
    assert CODE not in seen
    assert caught.value.__context__ is around


def test_prompt_goes_to_standard_error_and_no_feedback_into_a_file() -> None:
    program = (
        "from lexoffice_nb.notebook.terminal_reader import Wake, read_secret_line\n"
        f"with Wake() as wake: print(len(read_secret_line({PROMPT!r}, wake=wake)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=URL, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == f"{len(URL)}\n"
    assert done.stderr == f"{PROMPT}\n"


# --- Wake -----------------------------------------------------------------------------------------------------------


def test_wake_that_was_set_before_ends_the_reading_at_once() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a line\n")
    with Wake() as wake, os.fdopen(reader) as stream, contextlib.nullcontext(io.StringIO()) as out:
        wake.set()
        wake.set()
        assert wake.is_set()
        for _ in range(2):
            assert read_secret_line("", wake=wake, stream_in=stream, stream_out=out) is None
    os.close(writer)


def test_wake_can_be_set_and_closed_in_any_order_and_number() -> None:
    wake = Wake()
    fd = wake.fileno()
    assert not wake.is_set()
    wake.close()
    wake.close()
    wake.set()
    assert wake.is_set()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_wake_from_many_threads_at_once_never_blocks() -> None:
    with Wake() as wake:
        threads = [threading.Thread(target=wake.set) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert select.select([wake], [], [], 0)[0] == [wake]
