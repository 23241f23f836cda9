"""When an access token is renewed, who waits for it, and what a failure means (RFC 6749 section 6, RFC 9700)."""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import IdTokenError, LexofficeError, LoginError, SignedOut, StoreError, TokenEndpointError
from lexoffice_nb.log import log
from lexoffice_nb.oauth.token_source import SignIn, TokenSource
from lexoffice_nb.oauth.token_store import FileStore, Kept, MemoryStore
from tests.oauth.misbehaving import LEFT_OUT, Raw, as_json
from tests.oauth.renewing import FIRST, NAME, PLAIN, kept_at, pass_time, refresh_token_of, settled, source_with, until
from tests.oauth.signing_in import attempt_at, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb.oauth.tokens import Secret
    from tests.oauth import misbehaving
    from tests.oauth.conftest import StartProvider

STALE, EXPIRED = 200.0, -1.0


@pytest.fixture
def server(start: StartProvider) -> misbehaving.Provider:
    return start(strict=True, token=PLAIN)


@pytest.fixture(autouse=True)
def _nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    fell: list[threading.ExceptHookArgs] = []
    former, threading.excepthook = threading.excepthook, fell.append
    yield
    threading.excepthook = former
    assert fell == []
    assert capfd.readouterr() == ("", "")


def at_once(act: Callable[[], Secret], count: int = 16) -> list[Secret | LexofficeError]:
    together, given = threading.Barrier(count), []

    def run() -> None:
        together.wait()
        try:
            given.append(act())
        except LexofficeError as error:
            given.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


class TestWindows:
    @pytest.mark.parametrize(("life", "stale_after"), [(3600, 3300), (1200, 900), (40, 30), (2, 1.5)])
    def test_a_token_is_stale_in_its_last_quarter_at_most_five_minutes(
        self, start: StartProvider, life: int, stale_after: float
    ) -> None:
        server = start(token={"expires_in": life})
        source = signed_in(server)
        expires_at, kept = source.tokens.expires_at, source.kept
        assert expires_at is not None
        assert kept is not None
        assert kept.stale_at is not None
        assert (expires_at - kept.stale_at).total_seconds() == pytest.approx(life - stale_after, abs=0.2)

    @pytest.mark.parametrize(
        ("life", "age", "renewed"),
        [(3600, 3295, 0), (3600, 3302, 1), (3600, 3595, 1), (40, 28, 0), (40, 31, 1), (2, 1.2, 0), (2, 1.6, 1)],
    )
    def test_it_is_renewed_in_the_background_from_then_on(
        self, start: StartProvider, life: int, age: float, renewed: int
    ) -> None:
        server = start(strict=True, token={**PLAIN, "expires_in": life})
        source = source_with(kept_at(server, left=life, life=life), server.origin)
        pass_time(source, age)
        assert source.access_token() == FIRST
        settled(source)
        assert server.renewals == renewed
        assert (source.access_token() == FIRST) == (not renewed)

    @pytest.mark.parametrize("token", [{"expires_in": LEFT_OUT}, {"refresh_token": LEFT_OUT}])
    def test_one_of_unknown_life_or_without_a_refresh_token_never(
        self, start: StartProvider, token: dict[str, Any]
    ) -> None:
        server = start(token=token)
        source = signed_in(server)
        kept = source.kept
        assert kept is not None
        assert kept.stale_at is None
        pass_time(source, 3590 if "refresh_token" in token else 10**7)
        source.access_token()
        settled(source)
        assert server.renewals == 0

    @pytest.mark.parametrize(("hours", "renewed"), [(-5, 1), (5, 0)])
    def test_a_clock_that_jumps_by_hours_costs_one_renewal_at_most(
        self, server: misbehaving.Provider, hours: int, renewed: int
    ) -> None:
        """Forward, the token looks expired; back, it looks fresh, and the API's 401 has it renewed."""
        source = source_with(kept_at(server, left=1000 + hours * 3600), server.origin)
        first = source.access_token()
        assert (first != FIRST) == bool(renewed)
        assert source.access_token() == first
        assert server.renewals == renewed
        assert source.renew(first) not in (first, FIRST)
        assert source.access_token() != first
        assert server.renewals == renewed + 1


class TestStale:
    @pytest.mark.case("real/01-single-flight-threads")
    def test_it_is_handed_out_at_once_and_renewed_once_over_sixteen_threads(self, server: misbehaving.Provider) -> None:
        source = source_with(kept_at(server, left=STALE), server.origin)
        server.slow = 1
        others = set(threading.enumerate())  # of tests that interrupt at any instant
        begun = time.monotonic()
        assert at_once(source.access_token) == [FIRST] * 16
        assert time.monotonic() - begun < 0.7
        [thread] = [t for t in threading.enumerate() if t.name == "lexoffice-nb renewal" and t not in others]
        assert thread.daemon
        for _ in range(20):
            assert source.access_token() == FIRST
        settled(source)
        assert server.renewals == 1
        assert source.access_token() != FIRST
        assert server.renewals == 1

    def test_threat_28_nobody_asks_so_nothing_is_sent(self, server: misbehaving.Provider) -> None:
        source = source_with(kept_at(server, left=0.6, life=2), server.origin)
        time.sleep(0.8)
        assert server.counts == {}
        assert source.access_token() != FIRST

    def test_one_that_expires_meanwhile_is_waited_for_and_not_asked_for_twice(
        self, server: misbehaving.Provider
    ) -> None:
        source = source_with(kept_at(server, left=0.3, life=2), server.origin)
        server.slow = 0.6
        assert source.access_token() == FIRST
        time.sleep(0.3)
        given = at_once(source.access_token)
        assert len(set(given)) == 1
        assert FIRST not in given
        assert server.renewals == 1

    def test_without_a_thread_to_be_had_the_good_token_is_handed_out_and_nothing_hangs(
        self, server: misbehaving.Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = source_with(kept_at(server, left=STALE), server.origin)

        def no_thread(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            assert source.access_token() == FIRST
        source.access_token()
        settled(source)
        assert source.access_token() != FIRST


class TestBackOff:
    @pytest.mark.case("statement/07-back-off")
    def test_a_server_that_is_down_is_asked_a_bounded_number_of_times_and_then_found_again(
        self, server: misbehaving.Provider
    ) -> None:
        source = source_with(kept_at(server, left=STALE), server.origin)
        server.raw["/token"] = Raw(503)
        end = time.monotonic() + 2.5
        asks = 0
        while time.monotonic() < end:
            assert source.access_token() == FIRST
            asks += 1
            time.sleep(0.005)
        settled(source)
        # At 0, at once again, after 1 s; the next would come 2 s later.
        assert asks > 100
        assert server.renewals == 3
        del server.raw["/token"]
        until(lambda: source.access_token() != FIRST)
        assert server.renewals == 4
        assert source._failures == 0

    def test_whoever_waits_gets_the_last_error_unasked_while_the_pause_is_long(
        self, server: misbehaving.Provider
    ) -> None:
        source = source_with(kept_at(server, left=EXPIRED), server.origin)
        server.raw["/token"] = Raw(503)
        begun = time.monotonic()
        for _ in range(3):
            refused(TokenEndpointError, "refresh", "token_server", source.access_token)
        assert 0.9 < time.monotonic() - begun < 2.5
        assert server.renewals == 3
        begun = time.monotonic()
        errors = [refused(TokenEndpointError, "refresh", "token_server", source.access_token) for _ in range(20)]
        assert time.monotonic() - begun < 0.5
        assert server.renewals == 3
        assert len(set(map(id, errors))) == 20
        del server.raw["/token"]
        time.sleep(1.1)
        assert source.access_token() != FIRST

    def test_threat_30_no_pause_is_longer_than_a_minute(self) -> None:
        source = TokenSource()
        pauses = []
        for _ in range(40):
            source._note_failure(TokenEndpointError("token_server", stage="refresh", said="x", status=503))
            pauses.append(round(source._not_before - time.monotonic()))
        assert pauses[:9] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
        assert max(pauses) == 60

    @pytest.mark.parametrize("waits_for", ["answer", "pause"])
    def test_ctrl_c_ends_the_wait_within_half_a_second_and_never_the_renewal(
        self, server: misbehaving.Provider, tmp_path: Path, waits_for: str
    ) -> None:
        store = FileStore(NAME, tmp_path / "accounts")
        source = source_with(kept_at(server, left=EXPIRED), server.origin, store)
        if waits_for == "pause":
            server.raw["/token"] = Raw(503)
            for _ in range(2):
                refused(TokenEndpointError, "refresh", "token_server", source.access_token)
            del server.raw["/token"]
        server.slow = 1.0
        pressed: list[float] = []

        def press() -> None:
            time.sleep(0.3)
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        finger = threading.Thread(target=press)
        finger.start()
        with pytest.raises(KeyboardInterrupt):
            source.access_token()
        assert time.monotonic() - pressed[0] < 0.5
        finger.join()
        if waits_for == "pause":
            source.access_token()
        settled(source)
        kept = store.load()
        assert kept is not None
        assert kept.tokens.access_token != FIRST
        assert server.is_good(refresh_token_of(kept))
        assert source.access_token() == kept.tokens.access_token
        assert server.replays == 0


def closed_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


def endpoint_moved(source: TokenSource, origin: str) -> None:
    """The token endpoint from now on, for one whose request never arrives."""
    endpoint = source.sign_in.endpoint
    assert endpoint is not None
    provider = replace(endpoint.provider, token_endpoint=f"{origin}/token")
    source._sign_in = SignIn(replace(endpoint, provider=provider))


class TestStatement7:
    @pytest.mark.case("statement/07-not-sent")
    @pytest.mark.parametrize("fault", ["closed_port", "dns", "tls", "429", "503", "400"])
    def test_what_was_not_sent_or_not_done_leaves_no_mark_and_the_same_token_is_sent_again(
        self, server: misbehaving.Provider, fault: str
    ) -> None:
        source = source_with(kept_at(server, left=STALE), server.origin)
        before = refresh_token_of(source.kept)
        home = source.sign_in
        if fault.isdecimal():
            server.raw["/token"] = as_json({"error": "invalid_client"}, int(fault))
        else:
            there = {"closed_port": closed_port(), "dns": f"https://{'x' * 64}.invalid"}  # no name to look up
            endpoint_moved(source, there.get(fault, server.origin.replace("http:", "https:")))
        with pytest.raises(LoginError) as caught:
            source.renew(FIRST)
        assert not isinstance(caught.value, SignedOut)
        kept = source.store.load()
        assert kept is not None
        assert kept.renewing_since is None
        source._sign_in = home
        server.raw.clear()
        assert source.access_token() == FIRST
        settled(source)
        assert source.access_token() != FIRST
        assert server.forms[-1]["refresh_token"] == before
        assert server.replays == 0

    @pytest.mark.parametrize("fault", ["cut", "500", "502", "html"])
    @pytest.mark.parametrize("is_strict", [True, False])
    @pytest.mark.case("statement/07-answer-lost")
    def test_a_lost_answer_leaves_a_mark_and_the_old_token_is_sent_once_more_at_the_end(
        self, start: StartProvider, fault: str, is_strict: bool
    ) -> None:
        server = start(strict=is_strict, token=PLAIN)
        source = source_with(kept_at(server, left=STALE), server.origin)
        before = refresh_token_of(source.kept)
        if fault == "cut":
            server.cut = 1
        else:
            server.raw["/token"] = Raw(200, b"<html>") if fault == "html" else Raw(int(fault))
            server._good.discard(before)  # done all the same, though it says nothing of it
        assert source.access_token() == FIRST
        settled(source)
        server.raw.clear()
        kept = source.store.load()
        assert kept is not None
        assert kept.renewing_since is not None
        for _ in range(20):
            assert source.access_token() == FIRST
        settled(source)
        assert server.renewals == 1
        pass_time(source, 1000)
        if is_strict:
            refused(SignedOut, "refresh", "signed_out_rotation", source.access_token)
            assert source.store.load() is None
        else:
            assert source.access_token() != FIRST
            kept = source.store.load()
            assert kept is not None
            assert kept.renewing_since is None
        assert server.renewals == 2
        assert server.forms[-1]["refresh_token"] == before

    def test_what_is_uncertain_stays_so_after_an_attempt_that_was_not_sent(self, server: misbehaving.Provider) -> None:
        source = source_with(kept_at(server, left=EXPIRED), server.origin)
        server.cut = 1
        refused(LoginError, "refresh", "unreachable", source.access_token)
        home = source.sign_in
        endpoint_moved(source, closed_port())
        refused(LoginError, "refresh", "unreachable", source.access_token)
        source._sign_in = home
        refused(SignedOut, "refresh", "signed_out_rotation", source.access_token)

    @pytest.mark.case("statement/29-mark")
    def test_a_mark_from_a_crash_is_respected_and_explained(self, server: misbehaving.Provider) -> None:
        kept = kept_at(server, left=STALE, renewing_since=datetime.now(UTC) - timedelta(hours=1))
        source = source_with(kept, server.origin)
        server._good.clear()
        for _ in range(5):
            assert source.access_token() == FIRST
        settled(source)
        assert server.renewals == 0
        pass_time(source, 1000)
        refused(SignedOut, "refresh", "signed_out_rotation", source.access_token)


class _Disk(FileStore):
    """A disk that a test stops or fills."""

    def __init__(self, folder: Path) -> None:
        super().__init__(NAME, folder)
        self.on_save: Callable[[Kept], None] = lambda _: None

    def save(self, kept: Kept) -> None:
        self.on_save(kept)
        super().save(kept)


class TestOrder:
    @pytest.mark.case("statement/07-rotated-token-first")
    def test_the_new_refresh_token_is_on_the_disk_before_anybody_has_the_access_token(
        self, server: misbehaving.Provider, tmp_path: Path
    ) -> None:
        store = _Disk(tmp_path / "accounts")
        source = source_with(kept_at(server, left=EXPIRED), server.origin, store)
        writes, goes_on = threading.Event(), threading.Event()

        def freeze(kept: Kept) -> None:
            if kept.generation > 1:
                writes.set()
                goes_on.wait(10)

        store.on_save = freeze
        given: list[Secret] = []
        asking = threading.Thread(target=lambda: given.append(source.access_token()))
        asking.start()
        assert writes.wait(5)
        time.sleep(0.4)
        assert given == []
        goes_on.set()
        asking.join(5)
        on_disk = FileStore(NAME, tmp_path / "accounts").load()
        assert on_disk is not None
        assert [on_disk.tokens.access_token] == given
        assert server.is_good(refresh_token_of(on_disk))

    def test_what_a_full_disk_could_not_keep_is_kept_later_without_asking_again(
        self, server: misbehaving.Provider, tmp_path: Path
    ) -> None:
        store = _Disk(tmp_path / "accounts")
        source = source_with(kept_at(server, left=EXPIRED), server.origin, store)
        store.on_save = _full
        for _ in range(2):
            with pytest.raises(StoreError):
                source.access_token()
        store.on_save = lambda _: None
        token = source.access_token()
        assert token != FIRST
        assert server.renewals == 1
        kept = store.load()
        assert kept is not None
        assert (kept.tokens.access_token, kept.renewing_since) == (token, None)
        assert server.is_good(refresh_token_of(kept))

    def test_log_out_on_a_full_disk_revokes_the_token_that_could_not_be_kept(
        self, server: misbehaving.Provider, tmp_path: Path
    ) -> None:
        store = _Disk(tmp_path / "accounts")
        source = source_with(kept_at(server, left=EXPIRED), server.origin, store)
        store.on_save = _full
        with pytest.raises(StoreError):
            source.access_token()
        assert len(server._good) == 1
        assert source.revoke() == []
        assert server._good == set()

    def test_the_mark_is_on_the_disk_before_anything_is_sent(
        self, server: misbehaving.Provider, tmp_path: Path
    ) -> None:
        store = _Disk(tmp_path / "accounts")
        source = source_with(kept_at(server, left=EXPIRED), server.origin, store)

        def broken(_: Kept) -> None:
            raise StoreError("store_full", path=tmp_path, reason="")

        store.on_save = broken
        with pytest.raises(StoreError):
            source.access_token()
        assert server.renewals == 0
        store.on_save = lambda _: None
        server.gate = threading.Event()
        asking = threading.Thread(target=source.access_token)
        asking.start()
        assert server.arrived.acquire(timeout=5)
        kept = store.load()
        assert kept is not None
        assert kept.renewing_since is not None
        server.gate.set()
        asking.join()
        kept = store.load()
        assert kept is not None
        assert kept.renewing_since is None

    @pytest.mark.parametrize("id_token", ["no ID token at all", "e30.e30.e30"])
    def test_an_id_token_that_is_not_believed_keeps_the_new_refresh_token_for_the_next_renewal(
        self, start: StartProvider, id_token: str
    ) -> None:
        server = start(strict=True)
        source = signed_in(server)
        before = source.tokens
        server.token = {"id_token": id_token}
        with pytest.raises(IdTokenError):
            source.renew(before.access_token)
        kept = source.kept
        assert kept is not None
        assert kept.tokens.access_token == before.access_token
        assert kept.tokens.refresh_token != before.refresh_token
        assert kept.renewing_since is None
        server.token = {}
        assert source.renew(before.access_token) != before.access_token
        assert server.replays == 0

    def test_a_mistake_of_our_own_is_told_to_whoever_waits_and_printed_nowhere_and_paused_after(
        self, server: misbehaving.Provider, tmp_path: Path
    ) -> None:
        store = _Disk(tmp_path / "accounts")
        source = source_with(kept_at(server, left=STALE), server.origin, store)
        asked: list[Kept] = []

        def stumble(kept: Kept) -> None:
            asked.append(kept)
            raise ZeroDivisionError(refresh_token_of(kept))

        store.on_save = stumble
        for _ in range(10):
            assert source.access_token() == FIRST
            settled(source)
        assert len(asked) == 2
        error = refused(LoginError, "refresh", "internal", lambda: source.renew(FIRST))
        assert "ZeroDivisionError" in str(error)
        assert refresh_token_of(asked[0]) not in str(error)
        assert server.renewals == 0

    def test_an_account_that_moves_during_a_renewal_takes_the_answer_along(
        self, server: misbehaving.Provider, tmp_path: Path
    ) -> None:
        source = source_with(kept_at(server, left=STALE), server.origin)
        server.gate = threading.Event()
        source.access_token()
        assert server.arrived.acquire(timeout=5)
        name = replace(NAME, profile="Muster GmbH")
        threading.Timer(0.3, server.gate.set).start()  # moving waits for the renewal under way
        source.move_to(FileStore(name, tmp_path / "accounts"), name, None)
        settled(source)
        token = source.access_token()
        assert token != FIRST
        kept = FileStore(name, tmp_path / "accounts").load()
        assert kept is not None
        assert kept.tokens.access_token == token


def _full(kept: Kept) -> None:
    if kept.generation > 1:
        raise StoreError("store_full", path=Path("disk"), reason="")


class TestSecrets:
    def test_no_token_is_in_a_flight_a_thread_or_the_log(self, server: misbehaving.Provider) -> None:
        lines = io.StringIO()
        handler = logging.StreamHandler(lines)
        level = log.level
        log.setLevel(logging.DEBUG)  # not by setattr: what it has decided before would stay
        log.addHandler(handler)
        try:
            source = source_with(kept_at(server, left=STALE), server.origin)
            secrets = [FIRST.reveal(), refresh_token_of(source.kept)]
            server.gate = threading.Event()
            source.access_token()
            assert server.arrived.acquire(timeout=5)
            flight = source._flight
            seen = [
                repr(flight),
                repr(vars(flight)),
                repr(vars(source)),
                repr([vars(t) for t in threading.enumerate()]),
            ]
            server.gate.set()
            settled(source)
            server.raw["/token"] = Raw(500)
            secrets += [source.tokens.access_token.reveal(), refresh_token_of(source.kept)]
            with pytest.raises(LoginError) as caught:
                source.renew(source.access_token())
            frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
            ours = [frame for frame in frames if frame.filename != __file__]  # this test has the tokens itself
            assert ours
            seen += [repr((frame.line, frame.locals)) for frame in ours]
            seen += [repr(vars(caught.value)), repr(source._last_error), lines.getvalue()]
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
        assert "renewal: begins" in lines.getvalue()
        assert len(set(secrets)) == 4
        for secret in secrets:
            assert not any(secret in text for text in seen)

    def test_each_waiting_thread_gets_an_error_of_its_own_and_no_traceback_grows(
        self, server: misbehaving.Provider
    ) -> None:
        source = source_with(kept_at(server, left=EXPIRED), server.origin)
        server.raw["/token"], server.slow = Raw(500), 0.3
        errors = at_once(source.access_token)
        assert len(set(map(id, errors))) == 16
        assert {(type(e), e.code, e.stage) for e in errors if isinstance(e, LoginError)} == {
            (TokenEndpointError, "token_server", "refresh")
        }
        # Those that came a moment later may have begun a second one.
        assert server.renewals <= 2

        def depth() -> int:
            with pytest.raises(LoginError) as caught:
                source.access_token()
            assert caught.value.__context__ is None
            return len(traceback.extract_tb(caught.value.__traceback__))

        assert len({depth() for _ in range(5)}) == 1

    def test_a_source_that_nobody_has_any_more_goes_with_its_tokens(self, server: misbehaving.Provider) -> None:
        source = source_with(kept_at(server, left=EXPIRED), server.origin)
        source.access_token()
        settled(source)
        before = sys.getrefcount(source.kept)
        kept = source.kept
        del source
        gc.collect()
        assert sys.getrefcount(kept) <= before


def signed_in(server: misbehaving.Provider) -> TokenSource:
    attempt = attempt_at(server)
    attempt.handle_callback(server.authorize(attempt.get_login_url()))
    source = TokenSource(MemoryStore())
    source.adopt(attempt)
    return source
