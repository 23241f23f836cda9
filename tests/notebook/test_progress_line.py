"""The line that says how far a long list is: in a real kernel, in a terminal, and where nobody is there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from lexoffice_nb import progress
from lexoffice_nb.notebook import progress_line
from lexoffice_nb.notebook.progress_line import EVERY_SECONDS, QUIET_SECONDS, sentence
from lexoffice_nb.progress import Progress, Task
from lexoffice_nb.sandbox import Sandbox, SandboxSettings, process
from lexoffice_nb.sandbox.faults import Faults
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

    from tests.notebook.kernels import Kernel, Message

SET_UP = """
%load_ext lexoffice_nb
import threading, time
from lexoffice_nb.progress import Task

def read(seconds, total=12345, task=None, finish=True, step=0.02):
    task = task or Task("progress.rows")
    end = time.monotonic() + seconds
    done = 0
    while (now := time.monotonic()) < end:
        done = int((total or 1000) * (1 - (end - now) / seconds))
        task.report(done, total)
        time.sleep(step)
    task.report(total or 1000, total, finished=finish)
    return task
"""


@pytest.fixture(scope="module")
def kernel(new_kernel: Callable[..., Kernel]) -> Kernel:
    kernel = new_kernel()
    assert kernel.run(SET_UP) == ""
    return kernel


def lines_of(messages: list[Message]) -> dict[str, list[Message]]:
    """What was displayed, by its place; the first message of each must be the one that makes the place."""
    found: dict[str, list[Message]] = {}
    for message in messages:
        if message["msg_type"] in ("display_data", "update_display_data"):
            place = found.setdefault(message["content"]["transient"]["display_id"], [])
            assert (message["msg_type"] == "display_data") == (not place)
            place.append(message)
    return found


def words(message: Message) -> str:
    return str(message["content"]["data"]["text/plain"])


def shown(kernel: Kernel, code: str) -> list[list[str]]:
    """Runs a cell; gives the words of each line, in the order in which they were shown."""
    messages = kernel.end_of(kernel.ask(code))
    assert [m["content"] for m in messages if m["msg_type"] in ("error", "stream")] == []
    return [[words(each) for each in place] for place in lines_of(messages).values()]


# --- in a notebook ----------------------------------------------------------------------------------------------------


def test_less_than_a_second_shows_nothing(kernel: Kernel) -> None:
    assert shown(kernel, "read(0.8);") == []


def test_a_longer_one_shows_how_far_it_is_and_at_last_how_long_it_took(kernel: Kernel) -> None:
    begin = time.monotonic()
    messages = kernel.end_of(kernel.ask("read(2.5);"))
    took = time.monotonic() - begin
    (line,) = lines_of(messages).values()
    assert all(re.fullmatch(r"[\d,]+ of 12,345 rows · about [12] s left", words(each)) for each in line[:-1])
    assert re.fullmatch(r"12,345 rows · read in [23] s", words(line[-1]))
    assert 3 <= len(line) <= 2 + (took - QUIET_SECONDS) / EVERY_SECONDS
    assert all("role=" not in each["content"]["data"]["text/html"].replace("role='progressbar'", "") for each in line)
    assert "aria-live" not in str(line)


def test_an_interrupt_says_stopped_and_the_next_cell_has_a_line_of_its_own(kernel: Kernel) -> None:
    asked = kernel.ask("task = Task('progress.rows')\nread(20, task=task)")
    kernel.hear(lambda m: m["msg_type"] == "update_display_data")
    kernel.manager.interrupt_kernel()
    last = [m for m in kernel.end_of(asked) if m["msg_type"] == "update_display_data"][-1]
    assert re.fullmatch(r"[\d,]+ of 12,345 rows · stopped", words(last))
    assert "progressbar" not in last["content"]["data"]["text/html"]
    kernel.run("time.sleep(1.1)")
    assert shown(kernel, "read(0.5, task=task, finish=False);") == []
    (line,) = shown(kernel, "read(1.5, task=task);")
    assert re.search(r"about \d s left$", line[0])
    assert re.search(r"read in [3-9] s$", line[-1])  # that of three cells, and not the second between them


def test_a_cell_that_ends_without_reading_all_says_stopped(kernel: Kernel) -> None:
    (line,) = shown(kernel, "read(1.5, finish=False);")
    assert line[-1] == "12,345 of 12,345 rows · stopped"


def test_a_cell_that_another_cell_runs_stops_nothing(kernel: Kernel) -> None:
    code = (
        "t = Task('progress.rows')\nread(1.5, task=t, finish=False)\nget_ipython().run_cell('1+1;')\nread(0.5, task=t);"
    )
    (line,) = shown(kernel, code)
    assert [each for each in line if "stopped" in each] == []
    assert line[-1].endswith("read in 2 s")


def test_two_lists_in_one_cell_have_two_lines(kernel: Kernel) -> None:
    code = """
one, other = Task("progress.rows"), Task("progress.rows")
for n in range(40):
    one.report(n * 10, 400); other.report(n * 20, 800); time.sleep(0.05)
other.report(800, 800, finished=True); one.report(400, 400, finished=True)"""
    one, other = shown(kernel, code)
    assert {each.split(" of ")[-1].split()[0] for each in one[:-1]} == {"400"}
    assert {each.split(" of ")[-1].split()[0] for each in other[:-1]} == {"800"}
    assert (one[-1], other[-1]) == ("400 rows · read in 2 s", "800 rows · read in 2 s")
    assert max(len(one), len(other)) <= 2 + 2 / EVERY_SECONDS


def test_an_unknown_total_shows_the_rows_so_far_and_guesses_nothing(kernel: Kernel) -> None:
    messages = kernel.end_of(kernel.ask("read(1.5, total=None);"))
    (line,) = lines_of(messages).values()
    assert all(re.fullmatch(r"\d+ rows", words(each)) for each in line[:-1])
    bar = line[0]["content"]["data"]["text/html"]
    assert "role='progressbar'" in bar
    assert "aria-valuenow" not in bar


def test_a_thread_goes_on_after_its_cell_and_is_not_called_stopped(kernel: Kernel) -> None:
    code = """
failed, threading.excepthook = [], lambda each: failed.append(each)
thread = threading.Thread(target=read, args=(3,))
thread.start()
time.sleep(1.5)"""
    begin = len(kernel.heard)
    kernel.run(code)
    assert kernel.run("thread.join(); print(failed)") == "[]\n"
    (line,) = lines_of(kernel.heard[begin:]).values()
    assert [words(each) for each in line if "stopped" in words(each)] == []
    assert words(line[-1]) == "12,345 rows · read in 3 s"


def test_it_speaks_german(kernel: Kernel) -> None:
    kernel.run("from lexoffice_nb.texts import use_language; use_language('de')")
    (line,) = shown(kernel, "read(1.5);")
    kernel.run("use_language(None)")
    assert re.fullmatch(r"[\d.]+ von 12\.345 Zeilen · noch etwa 1 s", line[0])
    assert line[-1] in ("12.345 Zeilen · gelesen in 1 s", "12.345 Zeilen · gelesen in 2 s")


def test_where_nobody_is_there_a_real_list_leaves_one_finished_line_and_no_widget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data" / "lexoffice_nb" / "sandbox"
    for part in (folder.parents[1], folder.parent, folder):
        part.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", "demo")
    document = new_notebook(
        cells=[
            new_code_cell("%load_ext lexoffice_nb\n%lexoffice_login"),
            new_code_cell("print(sum(1 for row in lexoffice.voucherlist(voucherStatus='any')))"),
        ]
    )
    settings = SandboxSettings(extra_vouchers=1000, faults=Faults(slow=0.4))
    with Sandbox(data_dir=folder, settings=settings) as box:
        address = process.SandboxAddress(box.url, os.getpid(), box.instance)
        process.write_address(folder, address)
        NotebookClient(document, timeout=60, kernel_name="python3").execute()
        process.remove_address(folder, address)
    line, printed = document.cells[1].outputs
    assert set(line["data"]) == {"text/plain", "text/html"}
    count = f"{int(printed['text']):,}"
    assert re.fullmatch(rf"{count} rows · read in \d s", line["data"]["text/plain"])
    assert not re.search("progressbar|<script|widget", line["data"]["text/html"])


# --- in a terminal ----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """What a shell writes to its terminal."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__()
        self.shell = shell
        self.is_one = True

    def isatty(self) -> bool:
        return self.is_one

    def run(self, cell: str) -> list[str]:
        """Runs a cell without an error; gives the pieces between returns, without escapes."""
        with contextlib.redirect_stderr(self):
            result = self.shell.run_cell(cell)
        result.raise_error()
        return [each for each in re.split(r"[\r\n]|\x1b\[K", self.getvalue()) if each]


@pytest.fixture
def terminal(loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    loaded.user_ns.update(Task=Task, time=time)
    return Terminal(loaded)


CELL = """
task = Task("progress.rows")
for n in range(1, 15):
    time.sleep(0.1); task.report(n * 1000, 20000)
"""
END = "task.report(20000, 20000, finished=True)"
FINISHED = CELL + END
TWO = 'other = Task("progress.rows"); task ='


def test_a_terminal_has_one_line_that_ends_as_stopped(terminal: Terminal) -> None:
    pieces = terminal.run(CELL)
    assert re.fullmatch(r"\d+,000 of 20,000 rows · about [12] s left", pieces[0])
    assert pieces[-1] == "14,000 of 20,000 rows · stopped"
    assert 2 <= len(pieces) <= 5
    assert terminal.getvalue().count("\n") == 1


def test_a_terminal_has_one_line_that_ends_as_read(terminal: Terminal) -> None:
    assert re.fullmatch(r"20,000 rows · read in [12] s", terminal.run(FINISHED)[-1])
    assert terminal.getvalue().endswith("\n")


def test_two_lists_share_the_line_of_a_terminal(terminal: Terminal) -> None:
    pieces = terminal.run(CELL.replace("task.report", "other.report(n, None); task.report").replace("task =", TWO))
    assert re.search(r"\d+ rows \| \d+,000 of 20,000 rows · about [12] s left", terminal.getvalue())
    assert sorted(pieces[-2:]) == ["14 rows · stopped", "14,000 of 20,000 rows · stopped"]


def test_a_line_is_never_longer_than_its_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert {len(piece) for piece in terminal.run(CELL)} == {19}


@pytest.mark.parametrize("is_one", [True, False])
def test_a_file_and_a_terminal_without_escapes_get_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, is_one: bool
) -> None:
    terminal.is_one = is_one
    if is_one:
        monkeypatch.setenv("TERM", "dumb")
    assert terminal.run(CELL) == []


# --- loading and unloading --------------------------------------------------------------------------------------------


def test_loading_twice_makes_one_watcher_and_unloading_leaves_none(ip: InteractiveShell) -> None:
    before = list(progress._watchers)
    callbacks = {event: list(functions) for event, functions in ip.events.callbacks.items()}
    ip.extension_manager.load_extension("lexoffice_nb")
    ip.run_line_magic("load_ext", "lexoffice_nb")
    progress_line.ProgressLine.of(ip).open()
    assert len(progress._watchers) == len(before) + 1
    ip.extension_manager.unload_extension("lexoffice_nb")
    assert progress._watchers == before
    assert {event: list(functions) for event, functions in ip.events.callbacks.items()} == callbacks
    assert ip not in progress_line._lines
    progress_line.ProgressLine(ip).close()


def test_unloading_in_the_midst_of_a_list_disturbs_it_not(terminal: Terminal) -> None:
    pieces = terminal.run(f"{CELL}get_ipython().run_line_magic('unload_ext', 'lexoffice_nb')\n{END}")
    assert pieces
    assert "read in" not in terminal.getvalue()


# --- words ------------------------------------------------------------------------------------------------------------


def at(**values: Any) -> Progress:
    return Progress(**{"task": 1, "what": "progress.rows", "done": 2500, "total": 12345, "seconds": 2.0} | values)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (0.01, "about 1 s left"),
        (4.2, "about 5 s left"),
        (10, "about 10 s left"),
        (11, "about 15 s left"),
        (90, "about 90 s left"),
        (90.5, "about 2 min left"),
        (3599, "about 60 min left"),
    ],
)
def test_a_guess_is_rounded_up_and_the_coarser_the_longer_it_is(left: float, said: str) -> None:
    use_language("en")
    assert sentence(at(seconds_here=2.0, seconds_left=left)) == f"2,500 of 12,345 rows · {said}"


@pytest.mark.parametrize(("took", "said"), [(1.04, "1 s"), (99.4, "99 s"), (100, "1:40 min"), (3605, "60:05 min")])
def test_what_it_took_is_said_as_it_was(took: float, said: str) -> None:
    use_language("en")
    assert sentence(at(seconds=took, seconds_here=took, finished=True, done=12345)) == f"12,345 rows · read in {said}"
