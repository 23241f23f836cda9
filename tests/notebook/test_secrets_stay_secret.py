"""Codes, verifiers, tokens and keys are searched for, byte by byte, in everything that outlives or leaves a sign-in."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import queue
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import ipywidgets
import pytest

from lexoffice_nb.notebook.login_widget import LoginWidget
from lexoffice_nb.notebook.quiet_log import HIDDEN, PastedTextHidden
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.person import sign_in
from tests.notebook.conftest import eventually
from tests.notebook.kernels import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.sandbox import Sandbox

# Notes what only the kernel knows, in a file and nowhere else. It runs as a silent cell.
NOTE_SECRETS = """
def _note_secrets():
    import json
    from lexoffice_nb.oauth import login, token_source
    from lexoffice_nb.sandbox import person

    def note(value):
        with open("secrets.jsonl", "a") as file:
            file.write(json.dumps(value) + "\\n")

    new_code_verifier, sign_in, adopt = login.new_code_verifier, person.sign_in, token_source.TokenSource.adopt

    def noted_verifier():
        verifier = new_code_verifier()
        note(verifier.reveal())
        return verifier

    def noted_sign_in(*arguments):
        callback = sign_in(*arguments)
        note(callback.partition("code=")[2].partition("&")[0])
        return callback

    def noted_adopt(self, attempt, *more):
        adopt(self, attempt, *more)
        tokens = attempt.tokens
        for token in (tokens.access_token, tokens.refresh_token, tokens.id_token):
            note(token.reveal())

    login.new_code_verifier, person.sign_in = noted_verifier, noted_sign_in
    token_source.TokenSource.adopt = noted_adopt

_note_secrets()
"""
# Says which of the noted secrets can be seen in any frame that the last exception holds, or its contexts.
SEARCH_LAST_EXCEPTION = """
def _search():
    import json, sys
    secrets = [json.loads(line) for line in open("secrets.jsonl")]
    seen, open_ends, found = set(), [sys.last_exc if hasattr(sys, "last_exc") else sys.last_value], []
    while open_ends:
        error = open_ends.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        open_ends += [error.__cause__, error.__context__]
        shown, frames = repr(error) + repr(error.args) + repr(vars(error)), error.__traceback__
        while frames:
            if "ipykernel" not in frames.tb_frame.f_code.co_filename:
                shown += "".join(repr(value) for value in frames.tb_frame.f_locals.values())
            frames = frames.tb_next
        found += [secret[:8] for secret in secrets if secret in shown]
    open("found.json", "w").write(json.dumps([len(seen), found]))
_search()
"""


def code_in(callback: str) -> str:
    return parse_qs(urlsplit(callback).query)["code"][0]


def secrets_of(flow: LoginFlow) -> list[str]:
    tokens = flow.session.tokens
    return [t.reveal() for t in (tokens.access_token, tokens.refresh_token, tokens.id_token) if t]


# --- in a kernel ------------------------------------------------------------------------------------------------------


class Talkative(Kernel):
    """A kernel that writes down all it can: its log at DEBUG, inputs and outputs in its history."""

    def quietly(self, code: str) -> None:
        """Runs code that is written down nowhere."""
        self.end_of(self.client.execute(code, silent=True, store_history=False))

    def secrets(self) -> list[str]:
        return [json.loads(line) for line in (self.folder / "secrets.jsonl").read_text().splitlines()]


@pytest.fixture
def talkative(homes: dict[str, str], box: Sandbox) -> Iterator[Talkative]:
    arguments = ("--log-level=DEBUG", "--HistoryManager.db_log_output=True", "--HistoryManager.db_cache_size=0")
    kernel = Talkative(homes, arguments, {"LEXOFFICE_SANDBOX_PERSON": "demo"})
    kernel.quietly(NOTE_SECRETS)
    kernel.run("import logging; logging.basicConfig(level=logging.DEBUG, filename='all.log')")
    kernel.run("%xmode Verbose")
    yield kernel
    kernel.stop()


def bytes_of(*folders: str | Path) -> dict[str, bytes]:
    files = [file for folder in folders for file in Path(folder).rglob("*") if file.is_file()]
    return {str(file): file.read_bytes() for file in files if file.name not in ("secrets.jsonl", "found.json")}


def found_in(contents: dict[str, bytes], secrets: list[str]) -> list[tuple[str, str]]:
    return [(name, s[:8]) for name, content in contents.items() for s in secrets if s.encode() in content]


@pytest.mark.case("statement/09-logs", "statement/09-history", "statement/09-outputs")
def test_a_pasted_login_leaves_nothing_on_iopub_in_files_histories_and_logs(
    talkative: Talkative, homes: dict[str, str], box: Sandbox
) -> None:
    kernel, ear = talkative, talkative.ear()
    card = kernel.sign_in()
    callback = sign_in(card.link())
    card.say({"kind": "callback", "text": callback.replace("state=", "state=x")})
    card.when(lambda c: c["problem"])
    card.say({"kind": "callback", "text": callback})
    card.state("signed_in")
    for cell in ("lexoffice", "lexoffice.tokens", "vars(lexoffice)", "vars(lexoffice.tokens)", "lexoffice.userinfo()"):
        kernel.run(cell)
    for cell, kind in (
        ("lexoffice.get('/v1/nothing')", "NotFound"),
        ("lexoffice.nope", "NoMember"),
        ("(lambda s, t: s / t)(lexoffice, lexoffice.tokens)", "TypeError"),
        ("lexoffice.voucherlist(nope=1)", "Invalid"),
        ("lexoffice.invoices.create(json={1: 2})", "Invalid"),
    ):
        kernel.run(cell)
        assert kernel.heard[-2]["content"]["ename"] == kind
    keys = kernel.sign_in("%lexoffice_login by_key --api-key")
    keys.state("waiting")
    key = box.make_api_key()
    keys.say({"kind": "key", "text": key})
    keys.state("signed_in")
    typed = terminal_login(kernel)
    kernel.run("%history -g")
    kernel.run("%lexoffice_logout")

    secrets = [*kernel.secrets(), code_in(callback), key, typed]
    assert len(secrets) >= 2 + 2 * 4 - 1
    kernel.manager.shutdown_kernel(now=False)  # in peace, so that the history is written
    log = kernel.log.read_text()
    assert "MESSAGE TYPE:comm_msg" in log
    assert HIDDEN in log, "the log was not at DEBUG, or nothing was pasted"
    assert "connectionpool" in (kernel.folder / "all.log").read_text()
    contents = bytes_of(*homes.values(), kernel.folder)
    assert any(name.endswith("history.sqlite") for name in contents)
    assert found_in(contents, secrets) == []
    assert found_in({"IOPub": heard_by(ear)}, secrets) == []


def terminal_login(kernel: Talkative) -> str:
    """Signs in through the kernel's stdin; gives the code."""
    begin = len(kernel.heard)
    request = kernel.ask("%lexoffice_login typed --terminal")
    kernel.client.get_stdin_msg(timeout=20)
    kernel.hear(lambda m: m["msg_type"] == "stream" and "/connect/authorize" in m["content"]["text"])
    printed = "".join(m["content"]["text"] for m in kernel.heard[begin:] if m["msg_type"] == "stream")
    callback = sign_in(next(line.strip() for line in printed.splitlines() if "/connect/authorize" in line))
    kernel.client.input(callback)
    kernel.end_of(request)
    return code_in(callback)


def heard_by(ear: Any) -> bytes:
    heard = []
    try:
        while True:
            heard.append(ear.get_iopub_msg(timeout=0.5))
    except queue.Empty:
        pass
    ear.stop_channels()
    assert len(heard) > 30
    return json.dumps(heard, default=str).encode()


# A timer in the kernel itself meets the very instant; what it raises is what Ctrl-C raises.
ALARM = """
import signal
signal.signal(signal.SIGALRM, signal.default_int_handler)
_ = signal.setitimer(signal.ITIMER_REAL, SECONDS)
"""


def interrupted(kernel: Talkative, code: str, *, after: float) -> str:
    """Runs a cell and interrupts it; gives its traceback."""
    request = kernel.ask(ALARM.replace("SECONDS", str(after)) + code, allow_stdin=False)
    errors = [m["content"] for m in kernel.end_of(request) if m["msg_type"] == "error"]
    assert [error["ename"] for error in errors] == ["KeyboardInterrupt"]
    return "\n".join(errors[0]["traceback"])


@pytest.mark.case("statement/09-tracebacks")
def test_ctrl_c_leaves_nothing_in_a_verbose_traceback_nor_in_the_frames_behind_it(
    talkative: Talkative, box: Sandbox
) -> None:
    kernel = talkative
    kernel.run("%load_ext lexoffice_nb")
    kernel.quietly("import os; os.environ['LEXOFFICE_CLIENT_SECRET'] = 'c1ient-5ecret-of-the-environment'")
    kernel.quietly("open('secrets.jsonl', 'a').write('\"c1ient-5ecret-of-the-environment\"\\n')")
    kernel.run("%lexoffice_login", allow_stdin=False)  # imports everything, so that the pauses below hit
    box.settings.slow = 1.5
    tracebacks = [interrupted(kernel, "%lexoffice_login during_the_exchange", after=0.7)]
    assert len(tracebacks[0]) > 500, "not verbose"
    assert "login" in tracebacks[0]
    last = [searched(kernel)]
    box.expire_access_tokens()
    tracebacks.append(interrupted(kernel, "lexoffice.get('/v1/profile')", after=0.7))
    last.append(searched(kernel))
    for after in (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.08):
        tracebacks.append(interrupted(kernel, "%lexoffice_login again --force", after=after))
        last.append(searched(kernel))
    secrets = kernel.secrets()
    assert len(secrets) > 6
    assert found_in({str(n): t.encode() for n, t in enumerate(tracebacks)}, secrets) == []
    assert [found for _, found in last] == [[]] * len(last)
    assert all(exceptions >= 1 for exceptions, _ in last)


def searched(kernel: Talkative) -> tuple[int, list[str]]:
    kernel.quietly(SEARCH_LAST_EXCEPTION)
    exceptions, found = json.loads((kernel.folder / "found.json").read_text())
    return exceptions, found


# --- in this process --------------------------------------------------------------------------------------------------


@pytest.mark.case("statement/09-logs", "statement/09-outputs")
def test_every_log_at_debug_and_every_output_is_without_them(
    new_flow: Callable[..., LoginFlow], every_log: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    flow = new_flow()
    flow.prepare()
    verifier = flow._attempt._attempts[-1].verifier.reveal()  # type: ignore[union-attr]
    callback = sign_in(flow.link)
    flow.paste(Secret(callback))
    eventually(lambda: flow.state == "signed_in")
    flow.session.get("/v1/profile")
    secrets = [code_in(callback), verifier, *secrets_of(flow)]
    flow.session.logout()
    written = every_log.text + "".join(capfd.readouterr())
    assert "connectionpool" in written
    assert [s[:8] for s in secrets if s in written] == []


def test_no_way_to_write_an_object_down_shows_them(new_flow: Callable[..., LoginFlow]) -> None:
    flow = new_flow()
    widget = LoginWidget(flow)
    flow.prepare()
    waiting = everything_about(flow, widget)
    verifier = flow._attempt._attempts[-1].verifier.reveal()  # type: ignore[union-attr]
    callback = sign_in(flow.link)
    flow.answer(Secret(callback))
    written = waiting + everything_about(flow, widget)
    widget.close()
    assert [s[:8] for s in (code_in(callback), verifier, *secrets_of(flow)) if s in written] == []


def everything_about(flow: LoginFlow, widget: LoginWidget) -> str:
    written = []
    for thing in (flow, widget, flow.session, flow._attempt, flow._secrets, flow.request, flow.provider, flow.problem):
        written += [repr(thing), str(thing), f"{thing}", json.dumps(thing, default=repr)]
        written.append(repr(getattr(thing, "__dict__", "")))
        for write_down in (pickle.dumps, lambda thing: pickle.dumps(copy.copy(thing))):
            try:
                written.append(write_down(thing).decode("latin-1"))
            except (TypeError, AttributeError, pickle.PicklingError, NotImplementedError):
                written.append("cannot be written down")
    written.append(json.dumps(ipywidgets.Widget.get_manager_state(), default=repr))
    written.append(json.dumps(flow.trait_values(), default=repr))
    return " ".join(written)


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.case("statement/26-never-pickled")
def test_a_session_cannot_be_pickled_or_copied(
    new_flow: Callable[..., LoginFlow], copying: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError):
        copying(new_flow().session)


PASTED = {"comm_id": "1", "data": {"method": "custom", "content": {"kind": "callback", "text": "the-secret"}}}


@pytest.mark.parametrize(
    ("template", "arguments"),
    [
        ("   Content: %s\n   --->\n   ", (PASTED,)),
        ("%s: %s", ("comm_msg", {"header": {}, "content": PASTED})),
        ("handle_msg[%s](%s)", ("1", {"content": PASTED, "buffers": []})),
    ],
)
def test_the_text_of_a_card_is_dots_in_a_log_and_the_message_itself_is_untouched(
    template: str, arguments: tuple[Any, ...]
) -> None:
    before = copy.deepcopy(arguments)
    record = logging.LogRecord("name", logging.DEBUG, __file__, 1, template, arguments, None)
    assert PastedTextHidden().filter(record)
    assert "the-secret" not in record.getMessage()
    assert HIDDEN in record.getMessage()
    assert arguments == before


@pytest.mark.parametrize(
    ("template", "arguments"),
    [
        ("nothing", ()),
        ("%s", (None,)),
        ("%s", ({"data": None},)),
        ("%s", ({"data": {"content": {"kind": "hello"}}},)),
        ("%(a)s", ({"a": 1},)),
        ("%s %d", ("x", 1)),
    ],
)
def test_every_other_record_stays_as_it_is(template: str, arguments: tuple[Any, ...]) -> None:
    record = logging.LogRecord("name", logging.DEBUG, __file__, 1, template, arguments, None)
    expected = record.getMessage()
    assert PastedTextHidden().filter(record)
    assert record.getMessage() == expected
