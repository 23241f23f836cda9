"""One account, one pace: over threads, processes and whatever happens to them."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexoffice_nb.api import pacing
from lexoffice_nb.api.pacing import LONGEST, Pace
from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from tests.api.pace_at_a_sandbox import INTERVAL, RATE, check, run_both
from tests.api.pacing_processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

POSIX = pytest.mark.skipif(os.name != "posix", reason="links, modes and signals of POSIX")


@pytest.fixture(autouse=True)
def _no_lanes_of_others() -> Iterator[None]:
    yield
    pacing._lanes.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pacing"


@pytest.fixture
def pace(folder: Path) -> Pace:
    return Pace("account", 0.01, folder)


def another_process(pace: Pace) -> Pace:
    """A pace that shares nothing with this one but the file, as in another process."""
    path = pace._lane.path
    pacing._lanes.pop(path)
    return Pace("account", pace.interval, path.parent)


def stored(pace: Pace, **values: Any) -> pacing._State:
    """Writes what another process might have: the pace's own folder, file and modes, and these values."""
    state = pacing._State(**values)
    pace.wait()
    pace._lane.path.write_bytes(state.content())
    return state


def goes_at_once(pace: Pace) -> bool:
    return pace.wait(longest=0)


class TestAtASandboxThatRefuses:
    def test_twenty_requests_of_one_and_of_each_of_two_processes_keep_the_pace_and_none_is_refused(self, tmp_path):
        limited = SandboxSettings(rate_limit=RATE)
        with (
            Sandbox(data_dir=tmp_path / "alone", settings=limited) as alone,
            Sandbox(data_dir=tmp_path / "shared", settings=limited) as shared,
        ):
            one, two = run_both(alone, shared, 20)
        check(one, 20)
        check(two, 40)


class TestAPace:
    def test_goes_at_once_after_a_rest_and_then_at_intervals(self, folder):
        pace = Pace("account", 30, folder)
        assert goes_at_once(pace)
        assert not goes_at_once(pace)
        assert not goes_at_once(another_process(pace))
        assert goes_at_once(Pace("another account", 30, folder))

    def test_waits_as_long_as_it_should(self, folder):
        pace, begun = Pace("account", 0.05, folder), time.monotonic()
        for _ in range(5):
            assert pace.wait()
        assert time.monotonic() - begun >= 4 * 0.05 * (1 - pacing.CREDIT)

    def test_is_made_up_for_what_was_late_by_a_little_only(self):
        state = pacing._State(next=100.0)
        assert state.after_a_turn(100.01, 0.01, 1.0).next == pytest.approx(101.0)
        assert state.after_a_turn(100.5, 0.5, 1.0).next == pytest.approx(101.5 - pacing.CREDIT)
        assert state.after_a_turn(107.0, 7.0, 1.0).next == pytest.approx(108.0)

    def test_of_zero_makes_no_file_and_waits_for_nobody(self, folder):
        pace = Pace("account", 0, folder)
        assert all(goes_at_once(pace) for _ in range(100))
        assert not folder.exists()

    def test_that_would_come_too_late_takes_nothing(self, folder):
        pace = Pace("account", 30, folder)
        pace.wait()
        before = pace._lane.path.read_bytes()
        assert not pace.wait(longest=0.05)
        assert pace._lane.path.read_bytes() == before
        assert not pace._lane.line

    def test_serves_threads_in_the_order_in_which_they_came(self, pace):
        pace.refused(0.4)
        order: list[int] = []

        def run(number: int) -> None:
            pace.wait()
            order.append(number)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for number, thread in enumerate(threads):
            thread.start()
            while len(pace._lane.line) <= number:
                time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert order == list(range(8))

    def test_is_fair_to_a_process_with_one_thread_beside_one_with_eight(self, folder):
        with (
            Process("turns", folder=folder, interval=0.02, threads=8, seconds=2) as many,
            Process("turns", folder=folder, interval=0.02, threads=1, seconds=2) as single,
        ):
            for process in (many, single):
                process.says()
            for process in (many, single):
                process.go()
            of_many, of_one = many.says(), single.says()
        assert of_many + of_one <= 2 / 0.02 + 2
        assert of_one > 0.3 * (of_many + of_one)

    def test_lets_another_process_go_first_after_a_turn_of_its_own(self):
        now = time.time()
        mine, theirs = pacing._Turn(0.55), pacing._Turn(0.55)
        mine.take(pacing._State(now, now + 5, by=pacing._me), now)
        theirs.take(pacing._State(now, now + 5, by="another"), now)
        assert 0.004 < mine.due - theirs.due < 0.55 * pacing.CREDIT


class TestARefusal:
    def test_in_one_process_slows_the_other(self, folder):
        pace = Pace("account", 0, folder)
        assert goes_at_once(pace)
        with Process("refused", folder=folder, interval=0, retry_after=30) as other:
            other.says()
        assert not goes_at_once(pace)
        assert not goes_at_once(Pace("account", 0.5, folder))

    def test_begins_with_a_short_pause_where_there_is_no_pace(self, folder):
        pace, begun = Pace("account", 0, folder), time.monotonic()
        pace.refused()
        assert not goes_at_once(pace)
        assert pace.wait(5)
        assert time.monotonic() - begun >= 0.02

    def test_makes_a_pause_that_doubles_and_an_interval_that_is_longer_for_a_minute(self):
        state, now, pauses = pacing._State(), 1000.0, []
        for _ in range(4):
            state = replace(state.after_a_refusal(now, 0.5, 0.0), written=now)
            pauses.append(state.next - now)
            assert state.after_a_turn(now + 59, 9.0, 0.5).next == now + 59.75
            assert state.after_a_turn(now + 61, 9.0, 0.5).next == now + 61.5
            now = state.next
        assert all(0.5 * 2**n <= pause <= 0.5 * 2**n * 1.5 for n, pause in enumerate(pauses, 1))

    def test_of_requests_that_went_out_together_counts_once(self, pace):
        for _ in range(8):
            pace.refused()
        assert pace._lane.state.strikes == 1

    def test_is_made_up_for_by_requests_that_are_served(self, pace):
        for _ in range(3):
            pace.refused()
            pace.wait()
        assert pace._lane.state.strikes == 3
        for _ in range(5):
            pace.served()
        assert another_process(pace).wait()
        assert pacing._State.read(pace._lane.path.read_bytes(), time.time()).strikes == 0

    @pytest.mark.parametrize("asked", [61.0, 1e9, float("inf")])
    def test_never_makes_anybody_wait_longer_than_a_minute(self, pace, asked):
        pace.refused(asked)
        assert pace._lane.state.next - time.time() <= LONGEST
        for _ in range(20):
            pace.refused(asked)
        assert pace._lane.state.next - time.time() <= LONGEST

    def test_keeps_to_what_the_server_asks_for(self, pace):
        pace.refused(20.0)
        assert 19 < pace._lane.state.next - time.time() <= 20


def signalled_soon(seconds: float = 0.3) -> None:
    """Ctrl-C for the main thread."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGINT))
    timer.daemon = True
    timer.start()


class Interrupting:
    """Interrupts at the n-th line of the pacing that is run; counts them where no number is given."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.lines = at, 0

    def __enter__(self) -> Interrupting:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._line if frame.f_code.co_filename == pacing.__file__ else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event in ("line", "return"):
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self._line


@POSIX
class TestAnInterrupt:
    def test_ends_the_waiting_and_the_others_go_on(self, pace):
        pace.refused(1.0)
        before = pace._lane.path.read_bytes()
        gone = threading.Event()

        def second() -> None:
            while not pace._lane.line:
                time.sleep(0.001)
            pace.wait()
            gone.set()

        threading.Thread(target=second, daemon=True).start()
        signalled_soon()
        with pytest.raises(KeyboardInterrupt):
            pace.wait()
        assert pace._lane.path.read_bytes() == before
        assert len(pace._lane.line) == 1
        assert gone.wait(5)

    def test_behind_others_ends_the_waiting_as_well(self, pace):
        pace.refused(1.0)
        first = threading.Thread(target=pace.wait, daemon=True)
        first.start()
        while not pace._lane.line:
            time.sleep(0.001)
        signalled_soon()
        with pytest.raises(KeyboardInterrupt):
            pace.wait()
        assert len(pace._lane.line) == 1
        first.join(5)

    @pytest.mark.usefixtures("swept")
    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("act", ["wait", "refused"])
    def test_at_any_instant_leaves_nothing_locked_and_nobody_in_the_way(self, folder, monkeypatch, act):
        import fcntl

        monkeypatch.setattr(pacing, "UNSEEN_SECONDS", 0.05)
        pace = Pace("account", 0.001, folder)

        def run() -> None:
            pace.wait() if act == "wait" else pace.refused()

        run()
        pace.wait()
        with Interrupting() as counting:
            run()
        kept = []  # as IPython keeps the last traceback, with its frames

        def interrupted(at: int) -> None:
            with Interrupting(at):
                try:
                    run()
                except KeyboardInterrupt as interrupt:
                    kept.append(interrupt)

        for at in range(1, counting.lines + 5):
            # In a thread of its own: what a tracer raises in an `except` stays the exception that is being handled,
            # for the whole life of the thread.
            thread = threading.Thread(target=interrupted, args=(at,))
            thread.start()
            thread.join(10)
            with pace._lane.path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pace._lane.path.write_bytes(b"")  # the pause after a refusal grows
            assert pace.wait(2)
        assert len(kept) > 20
        assert pace._lane._alone_until < 0


class TestAnotherProcess:
    @POSIX
    def test_that_is_killed_while_it_holds_the_lock_does_not_stop_the_others(self, pace, folder):
        with Process("hold", folder=folder) as holder:
            holder.says()
            os.kill(holder.pid, signal.SIGKILL)
            assert pace.wait(5)
        assert pace._lane._alone_until < 0

    def test_that_holds_the_lock_and_never_ends_holds_nobody_up_for_long(self, pace, folder):
        with Process("hold", folder=folder) as holder:
            holder.says()
            begun = time.monotonic()
            assert all(pace.wait(5) for _ in range(5))
            assert time.monotonic() - begun < 3

    @POSIX
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_that_was_forked_while_the_lock_was_held_does_not_keep_it(self, pace):
        ready, end = os.pipe(), os.pipe()
        child = 0

        def fork(state: Any, _: float) -> Any:
            nonlocal child
            child = os.fork()
            if child == 0:
                os.write(ready[1], b"x")
                os.read(end[0], 1)
                os._exit(0)
            return state

        pace._lane.change(fork)
        try:
            os.read(ready[0], 1)
            assert pace.wait(5)
            assert pace._lane._alone_until < 0
        finally:
            os.write(end[1], b"x")
            os.waitpid(child, 0)
            for descriptor in (*ready, *end):
                os.close(descriptor)


class TestThreat30:
    """Pacing files: private, under hashed names, opened carefully, and not believed."""

    @POSIX
    def test_threat_30_the_files_are_private_and_their_names_tell_nothing(self, folder):
        Pace("https://api.example 0ea2-organisation", 0.01, folder).wait()
        (path,) = folder.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not any(word in f"{path.name}{path.read_text()}" for word in ("api", "example", "0ea2", "organisation"))

    @pytest.mark.parametrize("key", ["../../x", "/etc/passwd", "", "\0", "x" * 10_000, "CON", "ü\ud800"])
    def test_threat_30_no_account_s_name_leads_out_of_the_folder(self, folder, key):
        assert Pace(key, 0.01, folder).wait()
        assert [path.parent for path in folder.iterdir()] == [folder]

    @POSIX
    @pytest.mark.parametrize("kind", ["link", "broken link", "hard link", "pipe", "folder", "open to others"])
    def test_threat_30_what_is_no_private_file_is_not_opened(self, folder, tmp_path, kind, caplog):
        caplog.set_level(logging.DEBUG, "lexoffice_nb")
        folder.mkdir(mode=0o700)
        pace, elsewhere = Pace("account", 0.01, folder), tmp_path / "elsewhere"
        path = pace._lane.path
        if kind != "broken link":
            elsewhere.write_bytes(b"[9, 9]")
            elsewhere.chmod(0o600)
        if "link" in kind:
            path.hardlink_to(elsewhere) if kind == "hard link" else path.symlink_to(elsewhere)
        elif kind == "pipe":
            os.mkfifo(path, 0o600)
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(b"[9, 9]")
            path.chmod(0o666)
        begun = time.monotonic()
        assert all(pace.wait(5) for _ in range(4))
        assert time.monotonic() - begun >= 0.02
        assert elsewhere.exists() == (kind != "broken link")
        assert not elsewhere.exists() or elsewhere.read_bytes() == b"[9, 9]"
        assert sum("keeps its own pace" in record.getMessage() for record in caplog.records) == 1

    @POSIX
    def test_threat_30_a_folder_that_others_can_open_is_not_used(self, folder):
        folder.mkdir(mode=0o755)
        assert Pace("account", 0.01, folder).wait()
        assert list(folder.iterdir()) == []

    def test_threat_30_no_stored_value_makes_a_wait_longer_than_a_minute(self, folder):
        pace, now = Pace("account", 0.001, folder), time.time()
        lies = [
            {"written": now, "next": now + 61 + 5},
            {"written": now, "next": 1e300},
            {"written": now + 3600, "next": now + 3601},  # the clock was set back by an hour
            {"written": now, "next": float("nan")},
            {"written": float("nan"), "next": now + 30},
            {"written": now, "next": now + 30, "strikes": 10**9},
            {"written": now, "next": now + 30, "strikes": -1},
            {"written": now, "next": now + 30, "slow": now + 1e6},
            {"written": now, "next": now + 30, "by": "x" * 100},
        ]
        for values in lies:
            stored(pace, **values)
            assert goes_at_once(pace), values
        stored(pace, written=time.time(), next=time.time() + 50)
        assert not goes_at_once(pace)

    @pytest.mark.parametrize(
        "content",
        [b"", b"\0" * 100, b"null", b"{}", b"[]", b"[1,2,3]", b"[" * 400, b"9" * 400, b"\xff\xfe", b"x" * 10_000_000],
        ids=lambda content: repr(content[:8]),
    )
    def test_threat_30_what_is_no_state_is_as_if_nothing_were_there(self, pace, content):
        pace.wait()
        pace._lane.path.write_bytes(content)
        assert goes_at_once(pace)
        assert json.loads(pace._lane.path.read_bytes())[5] == pacing._me

    VALUES = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=3)
    )

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(content=st.one_of(st.binary(max_size=300), st.lists(VALUES, max_size=8)), now=st.floats(1e9, 3e9))
    def test_threat_30_whatever_stands_there_is_read_and_never_means_more_than_a_minute(self, content, now):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        state = pacing._State.read(content, now)
        assert max(state.next, state.paused, state.slow) - now <= LONGEST + 1
        for after in (state.after_a_turn(now, 0.0, 0.55), state.after_a_refusal(now, 0.55, 1e9)):
            assert max(after.next, after.paused, after.slow) - now <= LONGEST + 1
            assert replace(after, written=now).is_true(now) or state.written > now

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
    @given(content=st.binary(max_size=600))
    def test_threat_30_any_octets_in_the_file_are_harmless(self, pace, content):
        pace.wait()
        pace._lane.path.write_bytes(content)
        assert goes_at_once(pace)


class TestWhereNothingCanBeShared:
    @pytest.mark.parametrize("interval", [0.0, 0.02])
    def test_the_pace_is_kept_in_the_process_and_said_once(self, tmp_path, caplog, interval):
        caplog.set_level(logging.DEBUG, "lexoffice_nb")
        (tmp_path / "file").touch()
        pace = Pace("account", interval, tmp_path / "file" / "pacing")
        begun = time.monotonic()
        for _ in range(4):
            assert pace.wait()
            pace.served()
        assert time.monotonic() - begun >= 3 * interval * (1 - pacing.CREDIT)
        pace.refused(30)
        assert not goes_at_once(pace)
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 1
        assert "keeps its own pace" in lines[0]


@POSIX
def test_files_that_nobody_has_used_for_days_are_removed(folder):
    folder.mkdir(mode=0o700)
    old, newer, no_pace = (folder / name for name in ("old.pace", "newer.pace", "old.txt"))
    for path in (old, newer, no_pace):
        path.touch(0o600)
        days = 1 if path is newer else 4
        os.utime(path, (time.time() - days * 86400,) * 2)
    Pace("account", 0.01, folder).wait()
    assert not old.exists()
    assert newer.exists()
    assert no_pace.exists()


class TestWhoSharesAPace:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platformdirs.user_state_path", lambda *_: tmp_path / "state")

    def test_two_sessions_of_one_organisation_do(self, box, signed_in):
        one, other = signed_in(box), signed_in(box)
        assert one._pace._lane is other._pace._lane

    def test_an_api_key_and_a_sign_in_of_one_organisation_do(self, box, signed_in):
        from lexoffice_nb import LexofficeSession, Provider

        by_key = LexofficeSession.from_api_key(box.make_api_key(), Provider.discover(box.url))
        assert by_key._pace._lane is signed_in(box)._pace._lane

    def test_the_same_organisation_at_another_api_does_not(self, box, server, signed_in, answer):
        server.answers["/v1/profile"] = [answer.of({"organizationId": signed_in(box).account.organisation})]
        here, there = signed_in(box), signed_in(box, api=server.url)
        assert here.account.organisation == there.account.organisation != ""
        assert here._pace._lane is not there._pace._lane

    def test_the_question_whose_account_it_is_keeps_a_pace_as_well(self, box, tmp_path):
        from lexoffice_nb import LexofficeSession, Provider

        provider = replace(Provider.discover(box.url), request_interval=0.05)
        session = LexofficeSession.from_api_key(box.make_api_key(), provider)
        origin = Pace(provider.api_base, 0.05)
        assert origin._lane.path.exists()
        assert not session._pace._lane.path.exists()
        session.get("/v1/profile")
        assert session._pace._lane.path.exists()

    def test_requests_elsewhere_which_carry_no_token_wait_for_nobody(self, box, other, answer):
        from lexoffice_nb import LexofficeSession, Provider

        provider = replace(Provider.discover(box.url), request_interval=30)
        session = LexofficeSession.from_api_key(box.make_api_key(), provider)
        session.get("/v1/profile")
        other.answers["/x"] = [answer.of({})]
        for _ in range(3):
            assert session.get(f"{other.url}/x").status_code == 200
        assert not goes_at_once(session._pace)


def test_an_interval_of_the_pace_at_the_sandbox_is_that_of_the_live_service():
    from lexoffice_nb.oauth.provider import REQUEST_INTERVAL

    assert INTERVAL == REQUEST_INTERVAL
