"""Renewal where several processes have one account, and where one of them ends too early or forks (RFC 9700)."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import LexofficeError, SignedOut
from lexoffice_nb.oauth.token_store import Account, FileStore, MemoryStore
from lexoffice_nb.oauth.tokens import Secret
from tests.oauth.renewing import (
    FIRST,
    NAME,
    PLAIN,
    ask_for_a_while,
    kept_at,
    refresh_token_of,
    settled,
    source_over,
    source_with,
    until,
)
from tests.oauth.signing_in import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.oauth.token_source import TokenSource
    from lexoffice_nb.oauth.token_store import TokenStore
    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

ROOT = Path(__file__).parents[2]
STALE, EXPIRED = 200.0, -1.0
PETRA = Account("Muster GmbH", "Petra", "petra@example.org", "org-1")
forks = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # threads are what is tested
]


@pytest.fixture
def server(start: StartProvider) -> misbehaving.Provider:
    return start(strict=True, token=PLAIN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "accounts"


@pytest.fixture
def process(folder: Path, server: misbehaving.Provider) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a process of its own that does one thing with what is kept."""
    running: list[subprocess.Popen[str]] = []

    def run(action: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.oauth.renewing", action, str(folder), server.origin]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, cwd=ROOT, **pipes))
        return running[-1]

    yield run
    for one in running:
        one.kill()
        one.communicate()


def two_sources(server: misbehaving.Provider, folder: Path, **changes: Any) -> tuple[TokenSource, TokenSource]:
    """As two processes have them: over one file, with nothing else in common."""
    one = source_with(kept_at(server, **{"left": EXPIRED, **changes}), server.origin, FileStore(NAME, folder))
    return one, source_over(FileStore(NAME, folder), server.origin)


def in_a_thread(act: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    came: list[object] = []

    def run() -> None:
        try:
            came.append(act())
        except LexofficeError as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def in_flight(source: TokenSource, server: misbehaving.Provider) -> tuple[threading.Thread, list[object]]:
    """A renewal that the server has processed and not answered yet."""
    server.gate = threading.Event()
    asking = in_a_thread(source.access_token)
    assert server.arrived.acquire(timeout=5)
    return asking


def answered(server: misbehaving.Provider, asking: tuple[threading.Thread, list[object]]) -> object:
    assert server.gate is not None
    server.gate.set()
    thread, came = asking
    thread.join(10)
    return came[0]


class TestTwoSourcesOverOneFile:
    @pytest.mark.case("statement/27-second-reader")
    def test_what_one_has_renewed_the_other_uses_without_a_request(
        self, server: misbehaving.Provider, folder: Path
    ) -> None:
        one, other = two_sources(server, folder)
        token = one.access_token()
        assert token != FIRST
        assert other.access_token() == token
        assert server.renewals == 1

    def test_of_two_that_ask_at_once_one_renews(self, server: misbehaving.Provider, folder: Path) -> None:
        one, other = two_sources(server, folder)
        asking = in_flight(one, server)
        also = in_a_thread(other.access_token)
        time.sleep(0.3)
        token = answered(server, asking)
        also[0].join(5)
        assert also[1] == [token]
        assert token != FIRST
        assert (server.renewals, server.replays) == (1, 0)

    def test_while_one_renews_the_others_stale_token_is_handed_out_at_once(
        self, server: misbehaving.Provider, folder: Path
    ) -> None:
        one, other = two_sources(server, folder, left=STALE)
        server.gate = threading.Event()
        assert one.access_token() == FIRST
        assert server.arrived.acquire(timeout=5)
        begun = time.monotonic()
        for _ in range(10):
            assert other.access_token() == FIRST
        assert time.monotonic() - begun < 0.5
        server.gate.set()
        settled(one)
        assert other.access_token() == one.access_token() != FIRST
        assert server.renewals == 1
        assert other._failures == 0

    def test_a_renewal_in_the_background_is_left_to_whoever_holds_the_lock_and_counts_as_no_failure(
        self, server: misbehaving.Provider, folder: Path
    ) -> None:
        one, _ = two_sources(server, folder, left=STALE)
        with FileStore(NAME, folder).renewing():
            assert one.access_token() == FIRST
            settled(one)
            assert one._failures == 0
            asking = in_a_thread(lambda: one.renew(FIRST))
            time.sleep(0.3)
            assert server.renewals == 0
        asking[0].join(5)
        assert asking[1] == [one.tokens.access_token]
        assert server.renewals == 1

    @pytest.mark.case("statement/28-sibling")
    def test_statement_28_a_refusal_is_forgotten_where_a_sibling_without_our_lock_has_newer_tokens(
        self, server: misbehaving.Provider, folder: Path
    ) -> None:
        one, _ = two_sources(server, folder)
        kept = one.store.load()
        assert kept is not None
        server._good.clear()
        asking = in_flight(one, server)
        newer = replace(kept_at(server, left=3600), generation=kept.generation + 1, stale_at=None)
        FileStore(NAME, folder).save(replace(newer, tokens=replace(newer.tokens, access_token=Secret("newer"))))
        assert answered(server, asking) == Secret("newer")
        assert one.access_token() == Secret("newer")

    @pytest.mark.parametrize("who", [PETRA, Account(company="Another GmbH")])
    @pytest.mark.parametrize("is_refused", [False, True])
    def test_a_late_answer_never_overwrites_another_sign_in_and_its_token_is_revoked(
        self, server: misbehaving.Provider, folder: Path, who: Account, is_refused: bool
    ) -> None:
        one, _ = two_sources(server, folder, who=PETRA)
        if is_refused:
            server._good.clear()
        asking = in_flight(one, server)
        anew = kept_at(server, left=3600, family="family-2", who=who)
        anew = replace(anew, tokens=replace(anew.tokens, access_token=Secret("anew")))
        FileStore(NAME, folder).save(anew)
        came = answered(server, asking)
        if who == PETRA:
            assert came == Secret("anew")
            assert one.access_token() == Secret("anew")
        else:
            assert isinstance(came, SignedOut)
            assert came.code == "signed_out_other"
            refused(SignedOut, "authorize", "signed_out_other", one.access_token)
        assert FileStore(NAME, folder).load() == anew
        assert server._good == {refresh_token_of(anew)}

    def test_threat_27_a_log_out_here_during_a_renewal_leaves_nothing(
        self, server: misbehaving.Provider, folder: Path
    ) -> None:
        one, other = two_sources(server, folder)
        asking = in_flight(one, server)
        begun = time.monotonic()
        assert one.revoke() == []
        assert time.monotonic() - begun < 1
        came = answered(server, asking)
        assert isinstance(came, SignedOut)
        assert came.code == "signed_out_logout"
        refused(SignedOut, "authorize", "signed_out_logout", one.access_token)
        refused(SignedOut, "authorize", "signed_out_elsewhere", other.access_token)
        assert FileStore(NAME, folder).load() is None
        assert server._good == set()
        assert server.renewals == 1

    def test_threat_27_a_log_out_in_another_process_during_a_renewal_leaves_nothing(
        self, server: misbehaving.Provider, folder: Path, process: Callable[[str], subprocess.Popen[str]]
    ) -> None:
        one, _ = two_sources(server, folder)
        asking = in_flight(one, server)
        assert process("log_out").communicate(timeout=20) == ("log_out\n", "")
        came = answered(server, asking)
        assert isinstance(came, SignedOut)
        assert came.code == "signed_out_elsewhere"
        assert FileStore(NAME, folder).load() is None
        assert server._good == set()
        assert server.renewals == 1

    @pytest.mark.parametrize(
        ("who", "code"), [(None, "signed_out_elsewhere"), (Account(company="Another GmbH"), "signed_out_other")]
    )
    def test_what_happened_elsewhere_is_told_at_the_next_use(
        self, server: misbehaving.Provider, folder: Path, who: Account | None, code: str
    ) -> None:
        one, _ = two_sources(server, folder, left=1000, who=PETRA)
        store = FileStore(NAME, folder)
        if who is None:
            store.delete()
        else:
            store.save(kept_at(server, left=1000, family="family-2", who=who))
        for _ in range(2):
            refused(SignedOut, "authorize", code, one.access_token)
            refused(SignedOut, "authorize", code, lambda: one.tokens)
        assert not one.signed_in
        assert server.counts == {}
        assert (store.load() is None) == (who is None)

    def test_the_same_person_signed_in_anew_is_taken_over(self, server: misbehaving.Provider, folder: Path) -> None:
        one, _ = two_sources(server, folder, who=PETRA)
        anew = kept_at(server, left=1000, family="family-2", who=PETRA)
        FileStore(NAME, folder).save(replace(anew, tokens=replace(anew.tokens, access_token=Secret("anew"))))
        assert one.access_token() == Secret("anew")
        assert server.counts == {}


class TestProcesses:
    @pytest.mark.case("real/01-single-flight-processes")
    def test_of_three_processes_with_four_threads_one_renews_at_a_time_and_no_token_is_sent_twice(
        self, server: misbehaving.Provider, folder: Path
    ) -> None:
        life, seconds = 2.0, 5.0
        server.token = {**PLAIN, "expires_in": life}
        FileStore(NAME, folder).save(kept_at(server, left=life, life=life))
        context = multiprocessing.get_context("spawn")
        together, answers = context.Barrier(3), context.Queue()
        given = (str(folder), server.origin, 4, seconds, together, answers)
        processes = [context.Process(target=ask_for_a_while, args=given) for _ in range(3)]
        for one in processes:
            one.start()
        came = [answers.get(timeout=30) for _ in processes]
        for one in processes:
            one.join(10)
        answers.close()
        answers.join_thread()
        assert [problems for _, problems in came] == [[], [], []]
        assert min(count for count, _ in came) > 50
        assert server.replays == 0
        assert 2 <= server.renewals <= seconds / (0.75 * life) + 2
        tokens = [form["refresh_token"] for form in server.forms]
        assert len(set(tokens)) == len(tokens)

    @pytest.mark.parametrize("is_strict", [True, False])
    def test_after_a_kill_in_the_middle_of_a_renewal_the_next_process_explains_or_works(
        self,
        server: misbehaving.Provider,
        folder: Path,
        process: Callable[[str], subprocess.Popen[str]],
        is_strict: bool,
    ) -> None:
        server.strict = is_strict
        FileStore(NAME, folder).save(kept_at(server, left=EXPIRED))
        server.gate = threading.Event()
        one = process("ask")
        assert server.arrived.acquire(timeout=20)
        one.kill()
        one.wait(5)
        server.gate.set()
        kept = FileStore(NAME, folder).load()
        assert kept is not None
        assert kept.renewing_since is not None
        source = source_over(FileStore(NAME, folder), server.origin)
        if is_strict:
            refused(SignedOut, "refresh", "signed_out_rotation", source.access_token)
        else:
            assert source.access_token() != FIRST
        assert server.renewals == 2

    def test_a_process_that_ends_during_a_background_renewal_keeps_its_answer(
        self, server: misbehaving.Provider, folder: Path, process: Callable[[str], subprocess.Popen[str]]
    ) -> None:
        FileStore(NAME, folder).save(kept_at(server, left=STALE))
        server.slow = 1.0
        assert process("ask").communicate(timeout=20) == ("ask\n", "")
        kept = FileStore(NAME, folder).load()
        assert kept is not None
        assert kept.tokens.access_token != FIRST
        assert kept.renewing_since is None
        assert server.is_good(refresh_token_of(kept))
        assert server.replays == 0


def in_a_child(act: Callable[[], Secret]) -> str:
    """What `act` gives in a forked child within ten seconds: a token, or an error's code."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of the test's own may run on in here
        try:
            signal.alarm(10)
            try:
                came = act().reveal()
            except LexofficeError as error:
                came = error.code
            except BaseException as error:
                came = repr(error)
            os.write(writing, pickle.dumps(came))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        said = answers.read()
    os.waitpid(child, 0)
    return str(pickle.loads(said)) if said else "it hung"


class TestForks:
    pytestmark = forks

    @pytest.mark.parametrize("left", [STALE, EXPIRED])
    def test_a_child_cannot_use_up_what_is_only_in_memory_and_the_parent_goes_on(
        self, server: misbehaving.Provider, left: float
    ) -> None:
        source = source_with(kept_at(server, left=left), server.origin)
        assert in_a_child(lambda: source.renew(FIRST)) == "signed_out_forked"
        assert in_a_child(source.access_token) == (FIRST.reveal() if left > 0 else "signed_out_forked")
        assert server.renewals == 0
        assert source.renew(FIRST) != FIRST
        assert (server.renewals, server.replays) == (1, 0)

    @pytest.mark.case("statement/27-second-reader")
    def test_with_a_file_both_go_on(self, server: misbehaving.Provider, folder: Path) -> None:
        source = source_with(kept_at(server, left=EXPIRED), server.origin, FileStore(NAME, folder))
        token = in_a_child(source.access_token)
        assert token not in (FIRST.reveal(), "it hung")
        assert source.access_token() == Secret(token)
        assert server.renewals == 1
        source.renew(Secret(token))
        assert (server.renewals, server.replays) == (2, 0)

    @pytest.mark.parametrize("kind", ["memory", "file"])
    def test_a_fork_while_another_thread_holds_every_lock_does_not_hang_the_child(
        self, server: misbehaving.Provider, folder: Path, kind: str
    ) -> None:
        store: TokenStore = MemoryStore() if kind == "memory" else FileStore(NAME, folder)
        source = source_with(kept_at(server, left=EXPIRED), server.origin, store)
        held, enough = threading.Event(), threading.Event()

        def hold() -> None:
            with source._lock, store.renewing(), store.changing():
                held.set()
                enough.wait(1.0)

        holding = threading.Thread(target=hold)
        holding.start()
        assert held.wait(5)
        came = in_a_child(source.access_token)
        enough.set()
        holding.join()
        assert came == "signed_out_forked" if kind == "memory" else came not in ("it hung", FIRST.reveal())
        assert source.access_token() != FIRST
        assert (server.renewals, server.replays) == (1, 0)

    @pytest.mark.parametrize("kind", ["memory", "file"])
    def test_a_fork_during_a_renewal_of_the_parent_hangs_nobody(
        self, server: misbehaving.Provider, folder: Path, kind: str
    ) -> None:
        store: TokenStore = MemoryStore() if kind == "memory" else FileStore(NAME, folder)
        source = source_with(kept_at(server, left=STALE), server.origin, store)
        server.slow = 0.8
        source.access_token()
        until(lambda: server.renewals)
        came = in_a_child(lambda: source.renew(FIRST))
        settled(source)
        token = source.access_token()
        assert token != FIRST
        assert came == ("signed_out_forked" if kind == "memory" else token.reveal())
        assert (server.renewals, server.replays) == (1, 0)
