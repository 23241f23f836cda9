"""The card of a sync: what it shows, what its buttons do, and who gets one."""

from __future__ import annotations

import gc
import html
import json
import re
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import ipywidgets
import pytest
from ipywidgets.widgets.widget import _instances

from lexoffice_nb import progress
from lexoffice_nb.errors import BooksError
from lexoffice_nb.notebook.still_card import still
from lexoffice_nb.notebook.sync_card import Moment, SyncCards, sync_card
from lexoffice_nb.notebook.sync_widget import EVERY_SECONDS, SyncWidget
from lexoffice_nb.progress import Progress, Task, announce
from lexoffice_nb.texts import de, use_language
from tests.notebook.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.progress import RunState
    from tests.notebook.kernels import Kernel, Message


class Run:
    """A run of another kind than a sync: the card knows only what every run has."""

    def __init__(self, state: RunState = "running", **more: Any) -> None:
        self.state: RunState = state
        self.who, self.waited_for, self.notes = "Muster & Söhne GmbH", False, ()
        self.problem: tuple[str, str] | None = None
        self.asked: list[str] = []
        vars(self).update(more)

    def summary(self) -> dict[str, str]:
        return {"vouchers": "5240", "documents": "1204", "contacts": "0", "where": "/home/erika/books"}

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def stop(self) -> None:
        self.asked.append("stop")

    def wait(self) -> None:
        self.asked.append("wait")


def documents(done: int = 1204, left: float | None = 2100.0) -> Progress:
    return Progress(1, "progress.documents", done, 5000, 600.0, 600.0, left)


def card_of(run: Run, newest: Progress | None = None, wished: str = "") -> dict[str, Any]:
    return sync_card(run, Moment(1, newest, wished))


def labels(card: dict[str, Any]) -> list[str]:
    return [action["label"] for action in card["actions"]]


# --- what it shows ----------------------------------------------------------------------------------------------------


def test_it_says_how_many_of_how_many_and_how_long_it_takes_still() -> None:
    card = card_of(Run(), documents())
    assert card["title"] == "The books of Muster & Söhne GmbH"
    assert card["status"] == {"icon": "busy", "text": "Fetching documents"}
    assert card["bar"] == {
        "name": "Documents read",
        "done": 1204,
        "total": 5000,
        "text": "1,204 of 5,000 documents",
        "more": "about 35 min left",
    }
    assert labels(card) == ["Pause", "Stop"]


def test_it_speaks_german() -> None:
    use_language("de")
    card = card_of(Run(), documents())
    assert card["bar"]["text"] == "1.204 von 5.000 Dokumenten"
    assert labels(card) == ["Pause", "Beenden"]
    assert labels(card_of(Run("paused"), documents())) == ["Weiter", "Beenden"]
    states = [card_of(Run(state))["status"]["text"] for state in ("paused", "stopped", "failed")]
    assert states == ["Pausiert", "Beendet", "Nicht abgeschlossen"]


def test_in_german_a_document_is_called_one_thing_in_all_that_is_said_of_a_sync() -> None:
    """A `voucher` is a line of the list, a `document` the whole of it."""
    said = {key: words for key, words in de.TEXTS.items() if key.startswith(("sync.", "progress.documents"))}
    assert "Dokumente" in said["sync.documents"]
    assert "Belege" in said["sync.vouchers"]
    others = {key for key, words in said.items() if "Beleg" in words} - {"sync.vouchers"}
    assert others == set()


def test_the_list_comes_first() -> None:
    rows = Progress(1, "progress.rows", 250, 5240, 1.0, 1.0, 20.0)
    assert card_of(Run())["status"]["text"] == card_of(Run(), rows)["status"]["text"] == "Reading the list"
    assert card_of(Run())["bar"] is None


def test_a_cell_that_waits_gets_no_buttons_that_could_not_be_heard() -> None:
    card = card_of(Run(waited_for=True), documents())
    assert card["actions"] == []
    assert "Interrupt the kernel" in card["notes"][0]


def test_paused_it_offers_to_go_on_and_promises_no_time() -> None:
    card = card_of(Run("paused"), documents())
    assert card["status"] == {"icon": "paused", "text": "Paused"}
    assert (card["bar"]["text"], card["bar"]["more"]) == ("1,204 of 5,000 documents", "")
    assert labels(card) == ["Resume", "Stop"]


def test_a_stop_that_was_asked_for_is_shown_before_the_request_under_way_has_ended() -> None:
    card = card_of(Run(), documents(), "stop")
    assert (card["state"], card["actions"]) == ("stopping", [])
    assert card["status"]["text"] == "Stopping after this request"
    assert card_of(Run("stopped"), documents(), "stop")["status"]["text"] == "Stopped"


def test_what_was_stopped_says_how_far_it_came_and_that_it_goes_on() -> None:
    card = card_of(Run("stopped"), documents())
    assert card["bar"]["text"] == "1,204 of 5,000 documents"
    assert "goes on from here" in card["notes"][-1]
    assert card["actions"] == []


def test_where_another_one_writes_it_says_to_wait_without_a_path_and_nothing_that_contradicts_it() -> None:
    error = BooksError("books_busy", path="/home/erika/books/2542efbb", who=" (a.ipynb, process 17, since 20:31)")
    card = card_of(Run("failed", problem=(error.what(), error.next())), documents())
    assert "a.ipynb" in card["problem"]["what"]
    assert "/home" not in card["problem"]["what"]
    assert "wait for it" in card["problem"]["next"]
    assert card["notes"] == ["What is here stays, and nothing is fetched twice."]


def test_what_was_removed_promises_nothing_and_names_no_folder() -> None:
    card = card_of(Run("stopped", removed=True, notes=["1 voucher is left out."]), documents())
    assert (card["state"], card["status"]) == ("removed", {"icon": "info", "text": "Removed"})
    assert (card["bar"], card["rows"], card["problem"], card["actions"]) == (None, [], None, [])
    assert card["notes"] == ["This copy is no longer on this machine. Run the cell again to fetch it anew."]
    assert card_of(Run("running", removed=True), documents())["state"] == "running"


def test_done_it_says_what_is_there_and_where() -> None:
    card = card_of(Run("done"), documents(5000, None))
    assert (card["status"], card["bar"]) == ({"icon": "ok", "text": "Up to date"}, None)
    assert {row["label"]: row["value"] for row in card["rows"]} == {
        "Vouchers listed": "5,240",
        "Documents read": "1,204",
        "Where": "/home/erika/books",
    }


def test_failed_it_says_why_and_what_to_do() -> None:
    card = card_of(Run("failed", problem=("The disk is full.", "Make room.")))
    assert card["status"]["icon"] == "error"
    assert card["problem"] == {"what": "The disk is full.", "next": "Make room."}


def test_threat_35_a_note_with_text_from_outside_makes_no_link() -> None:
    assert "https://" not in str(card_of(Run(notes=["see https://evil.example"])))


# --- what stays of it ---


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (Run("done"), ("Up to date", "5,240", "1,204", "/home/erika/books")),
        (Run("stopped"), ("Stopped", "1,204 of 5,000 documents", "goes on from here")),
        (Run("failed", problem=("No room.", "Make some.")), ("Not finished", "No room.", "Make some.", "stays")),
        (Run("stopped", removed=True), ("Removed", "no longer on this machine")),
    ],
)
def test_what_stays_of_it_says_all_that_it_said_and_needs_no_script_and_no_style_sheet(
    run: Run, words: tuple[str, ...]
) -> None:
    kept = still(card_of(run, documents()))
    shown = " ".join(re.sub("<[^>]*>", " ", html.unescape(kept["text/html"])).split())
    for each in (*words, "The books of Muster & Söhne GmbH"):
        assert each in shown
        assert each in kept["text/plain"]
    assert not re.search("<script|<style|<button|class='lxo|href|src=", kept["text/html"])


def test_threat_35_what_stays_of_it_has_no_markup_of_a_name() -> None:
    hostile = "<img src=x onerror=alert(1)> & 'x\" $a$"
    run = Run("failed", who=hostile, problem=(hostile, hostile), notes=[hostile], summary=lambda: {"where": hostile})
    kept = still(card_of(run, documents()))["text/html"]
    assert "<img" not in kept
    assert kept.count("&lt;img src=x onerror=alert(1)&gt;") == 6
    assert "mathjax_ignore" in kept
    assert not re.search("='[^']*&#x27;x\"", kept)


# --- the widget -------------------------------------------------------------------------------------------------------


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
def widget(run: Run) -> Iterator[SyncWidget]:
    widget = SyncWidget(run)
    yield widget
    widget.close()


def say(widget: SyncWidget, content: Any, **more: Any) -> None:
    """A message of some client of the kernel."""
    data = {"method": "custom", "content": content}
    widget._handle_msg({"content": {"data": data}, "buffers": [], **more})


@pytest.fixture
def sent(widget: SyncWidget) -> list[dict[str, Any]]:
    """The cards that it sends from now on."""
    cards: list[dict[str, Any]] = []
    widget.comm.publish_msg = lambda kind, **content: cards.append(content["data"].get("content"))
    return cards


def test_no_trait_of_it_is_synced_but_anywidgets_own(widget: SyncWidget) -> None:
    assert set(widget.keys) - set(ipywidgets.DOMWidget().keys) == {"_esm", "_css", "_anywidget_id"}


def test_its_state_holds_nothing_of_the_books(widget: SyncWidget, run: Run) -> None:
    Task("progress.documents", run).report(1204, 5000)
    own = {name: value for name, value in widget.get_state().items() if name not in ("_esm", "_css")}
    state = json.dumps([own, repr(own)], default=str)
    assert "1204" not in state
    assert "1,204" not in state
    assert "Muster" not in state
    assert "Muster" not in json.dumps(ipywidgets.Widget.get_manager_state(), default=str)


@pytest.mark.parametrize("name", ["pause", "resume", "stop"])
def test_a_button_does_what_it_says(widget: SyncWidget, run: Run, sent: list[Any], name: str) -> None:
    say(widget, {"kind": "action", "name": name})
    assert run.asked == [name]
    assert len(sent) == 1


@pytest.mark.parametrize(
    "content",
    [
        *(None, 17, "stop", ["stop"], {}, {"kind": "action"}, {"kind": ["action"], "name": "stop"}),
        *({"kind": "action", "name": name} for name in ("wait", "__init__", ["stop"], None, "close", "run")),
        {"kind": "unknown", "name": "stop"},
    ],
)
def test_a_message_that_is_none_is_ignored(widget: SyncWidget, run: Run, content: Any) -> None:
    say(widget, content)
    assert run.asked == []


@pytest.mark.parametrize("data", [None, 17, [], {}, {"method": "custom"}, {"method": ["custom"]}])
def test_a_message_of_another_shape_is_ignored(widget: SyncWidget, run: Run, data: Any) -> None:
    widget._handle_msg({"content": {"data": data}, "buffers": []})
    say(widget, {"kind": "action", "name": "stop"}, buffers=[b"x"])
    assert run.asked == []


def test_threat_05_an_update_of_a_client_changes_nothing(widget: SyncWidget) -> None:
    before = widget.get_state()
    data = {"method": "update", "state": {"_esm": "alert(1)"}}
    widget._handle_msg({"content": {"data": data}, "buffers": []})
    assert widget.get_state() == before


def test_what_is_over_takes_no_button(widget: SyncWidget, run: Run) -> None:
    run.state = "done"
    say(widget, {"kind": "action", "name": "stop"})
    assert run.asked == []


def test_the_greeting_is_answered_in_the_language_of_the_sign_in(widget: SyncWidget, sent: list[Any]) -> None:
    use_language("de")
    say(widget, {"kind": "hello", "lang": "en-US"})
    assert sent[0]["status"]["text"] == "Die Liste wird gelesen"


def test_it_is_drawn_at_most_four_times_a_second_and_never_backwards(
    widget: SyncWidget, run: Run, sent: list[Any]
) -> None:
    task = Task("progress.documents", run)
    began = time.monotonic()
    for done in range(200):
        task.report(done, 5000)
        time.sleep(0.005)
    assert 3 <= len(sent) <= 2 + (time.monotonic() - began) / EVERY_SECONDS
    versions = [card["version"] for card in sent]
    assert versions == sorted(set(versions))


def test_the_progress_of_another_run_is_not_its(widget: SyncWidget, sent: list[Any]) -> None:
    Task("progress.documents", Run()).report(1, 2)
    Task("progress.rows").report(1, 2)
    assert sent == []


def test_a_comm_that_is_gone_does_not_stop_the_work(widget: SyncWidget, run: Run) -> None:
    def gone(*_: object, **__: object) -> None:
        raise RuntimeError("the comm is closed")

    widget.comm.publish_msg = gone
    Task("progress.documents", run).report(1, 2)
    say(widget, {"kind": "hello"})
    del widget.comm.publish_msg


def test_over_it_listens_no_more_and_closed_it_leaves_nothing_behind() -> None:
    before, watchers = set(_instances), list(progress._watchers)
    widget = SyncWidget(run := Run())
    assert progress._watchers != watchers
    run.state = "done"
    widget.show()
    assert progress._watchers == watchers
    widget.close()
    widget.close()
    assert set(_instances) <= before
    gone = weakref.ref(widget)
    del widget
    gc.collect()
    assert gone() is None


def test_without_widgets_it_is_one_line(widget: SyncWidget, run: Run) -> None:
    assert "a front end with widgets" in repr(widget)
    Task("progress.documents", run).report(1204, 5000)
    assert repr(widget).startswith("1,204 of 5,000 documents")


# --- who gets one -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("loaded")
def test_a_shell_without_a_notebook_shows_none() -> None:
    before = set(_instances)
    announce(Run())
    assert set(_instances) == before


def test_unloaded_it_watches_no_more(loaded: InteractiveShell) -> None:
    watching = list(progress._run_watchers)
    assert any(isinstance(each, SyncCards) for each in watching)
    loaded.run_line_magic("unload_ext", "lexoffice_nb")
    assert not any(isinstance(each, SyncCards) for each in progress._run_watchers)


SET_UP = """
%load_ext lexoffice_nb
import threading, time
from lexoffice_nb.progress import Task, announce

class Run:
    who, waited_for, problem, notes, state = "", False, None, (), "running"
    def __init__(self): self.asked = []
    def summary(self): return {"vouchers": "12"}
    def pause(self): self.asked.append("pause"); self.state = "paused"; announce(self)
    def resume(self): self.asked.append("resume"); self.state = "running"; announce(self)
    def stop(self): self.asked.append("stop"); self.ends = True
    ends = False
    def work(self, seconds):
        task, end = Task("progress.documents", self), time.monotonic() + seconds
        n = 0
        while time.monotonic() < end and not self.ends:
            n += 1; task.report(n, 1000); time.sleep(0.02)
        self.state = "stopped" if self.ends else "done"
        announce(self)
    def waits(self, seconds):
        try:
            self.work(seconds)
        finally:
            self.state = "stopped"
            announce(self)
"""
AS_OUTPUT = "from lexoffice_nb.notebook.sync_card import SyncCards; SyncCards.of(get_ipython())._as_output(run)"
GO = "run = Run(); announce(run); threading.Thread(target=run.work, args=({},), daemon=True).start()"


@pytest.fixture(scope="module")
def kernel(new_kernel: Callable[..., Kernel]) -> Kernel:
    kernel = new_kernel()
    assert kernel.run(SET_UP) == ""
    return kernel


def cards_in(messages: list[Message]) -> list[dict[str, Any]]:
    content = [m["content"]["data"].get("content", {}) for m in messages if m["msg_type"] == "comm_msg"]
    return [each for each in content if each.get("kind") == "sync"]


def test_in_a_notebook_it_goes_on_after_its_cell_and_beside_the_next_ones(kernel: Kernel) -> None:
    first = kernel.end_of(kernel.ask(GO.format(3)))
    shown = [m["content"]["data"] for m in first if m["msg_type"] == "display_data"]
    assert len(shown) == 1
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    second = kernel.end_of(kernel.ask("time.sleep(2)\nprint('mine')"))
    assert [m["content"]["text"] for m in second if m["msg_type"] == "stream"] == ["mine\n"]
    assert [m["msg_type"] for m in second if "display" in m["msg_type"]] == []
    done = kernel.hear(lambda m: any(card["state"] == "done" for card in cards_in([m])))
    assert cards_in([done])[0]["rows"] == [{"label": "Vouchers listed", "value": "12"}]
    # A saved notebook has no kernel: what the file keeps is no widget any more.
    (place,) = [m["content"]["transient"] for m in first if m["msg_type"] == "display_data"]
    kept = kernel.hear(lambda m: m["msg_type"] == "update_display_data")["content"]
    assert kept["transient"] == place
    assert set(kept["data"]) == {"text/plain", "text/html"}
    assert "Up to date" in kept["data"]["text/html"]
    # Nor is what is displayed of it from now on.
    (later,) = [m["content"]["data"] for m in kernel.end_of(kernel.ask(AS_OUTPUT)) if "display" in m["msg_type"]]
    assert later == kept["data"]


def test_a_cell_that_removes_what_was_fetched_has_every_card_of_it_say_so(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel()
    kernel.run(SET_UP)
    kernel.run("run = Run(); announce(run); run.work(0.1)")
    kernel.run(AS_OUTPUT)
    gone = kernel.end_of(kernel.ask("run.removed = True"))
    updated = [m["content"] for m in gone if m["msg_type"] == "update_display_data"]
    assert len({each["transient"]["display_id"] for each in updated}) == 2
    assert all("no longer on this machine" in each["data"]["text/html"] for each in updated)
    assert not [m for m in kernel.end_of(kernel.ask("1 + 1")) if "display" in m["msg_type"]]


def test_an_interrupt_of_a_sync_that_its_cell_waits_for_ends_in_one_line(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel()
    kernel.run(SET_UP)
    request = kernel.ask("run = Run(); announce(run); run.waits(20)\nprint('further')")
    kernel.hear(lambda m: any(card["bar"] for card in cards_in([m])))
    kernel.manager.interrupt_kernel()
    messages = kernel.end_of(request)
    (error,) = [m["content"] for m in messages if m["msg_type"] == "error"]
    assert error["ename"] == "KeyboardInterrupt"
    assert error["traceback"] == ["Stopped. What is here stays, and the next sync goes on from here."]
    # Other interrupts are as they are everywhere.
    request = kernel.ask("time.sleep(20)")
    time.sleep(0.5)
    kernel.manager.interrupt_kernel()
    (error,) = [m["content"] for m in kernel.end_of(request) if m["msg_type"] == "error"]
    assert "time.sleep(" in "".join(error["traceback"])


def test_no_line_says_what_the_card_says(kernel: Kernel) -> None:
    messages = kernel.end_of(kernel.ask("run = Run(); announce(run); run.work(1.6)"))
    assert [m["msg_type"] for m in messages if "display" in m["msg_type"]] == ["display_data", "update_display_data"]
    assert len(cards_in(messages)) >= 4


def test_a_button_pressed_while_the_person_works_holds_it(kernel: Kernel) -> None:
    opened = kernel.end_of(kernel.ask(GO.format(20)))
    comm = next(
        m["content"]["comm_id"]
        for m in opened
        if m["msg_type"] == "comm_open" and "_esm" in m["content"]["data"]["state"]
    )
    content = {"comm_id": comm, "data": {"method": "custom", "content": {"kind": "action", "name": "pause"}}}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", content))
    kernel.hear(lambda m: any(card["state"] == "paused" for card in cards_in([m])))
    content["data"]["content"]["name"] = "stop"
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", content))
    kernel.hear(lambda m: any(card["state"] == "stopped" for card in cards_in([m])))
    assert kernel.run("print(run.asked)") == "['pause', 'stop']\n"


def test_a_sync_that_is_a_cells_value_is_its_card_and_never_twice_in_one_cell(
    new_kernel: Callable[..., Kernel],
) -> None:
    kernel = new_kernel(LEXOFFICE_SANDBOX_PERSON="kanzlei")
    kernel.run("%load_ext lexoffice_nb\nimport lexoffice_nb\nbooks = lexoffice_nb.login(interactive=False).books")

    def shown(code: str) -> list[list[str]]:
        messages = kernel.end_of(kernel.ask(code))
        assert [m["content"] for m in messages if m["msg_type"] in ("error", "stream", "execute_result")] == []
        return [sorted(m["content"]["data"]) for m in messages if m["msg_type"] == "display_data"]

    card, still = ["application/vnd.jupyter.widget-view+json", "text/plain"], ["text/html", "text/plain"]
    assert shown("books.sync()") == [card]
    assert shown("books.latest.wait()") in ([card], [still])  # it may be over by then
    assert shown("books.latest") == [still]
    assert shown("run = books.sync()") == [card]
    assert kernel.run("books.latest.wait(); None") == ""
    kernel.run("%unload_ext lexoffice_nb")
    assert "65 documents" in kernel.run("run")


def test_where_nobody_is_there_a_line_in_its_own_cell_says_it_instead(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel()
    kernel.run(SET_UP, allow_stdin=False)
    first = kernel.end_of(kernel.ask(GO.format(2), allow_stdin=False))
    (line,) = [m["content"] for m in first if m["msg_type"] == "display_data"]
    assert line["data"] == {"text/plain": "Reading the list"}
    second = kernel.end_of(kernel.ask("time.sleep(3)", allow_stdin=False))
    shown = [m for m in second if "display" in m["msg_type"]]
    assert {m["msg_type"] for m in shown} == {"update_display_data"}
    assert {m["content"]["transient"]["display_id"] for m in shown} == {line["transient"]["display_id"]}
    assert "documents" in shown[-1]["content"]["data"]["text/plain"]


def test_unloading_stops_what_nobody_could_hold_any_more(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel()
    kernel.run(SET_UP)
    kernel.run(GO.format(20))
    kernel.run("%unload_ext lexoffice_nb")
    assert kernel.run("print(run.asked)") == "['stop']\n"


def test_threads_that_work_and_cells_that_ask_do_not_wait_for_each_other(run: Run) -> None:
    widget = SyncWidget(run)

    def work() -> None:
        task = Task("progress.documents", run)
        for done in range(500):
            task.report(done, 500)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(200):
        say(widget, {"kind": "action", "name": "pause"})
    eventually(lambda: not any(worker.is_alive() for worker in workers))
    widget.close()
