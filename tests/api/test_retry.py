"""What is asked again, how often, and what never is."""

from __future__ import annotations

import io
import logging
import os
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb import LexofficeSession, Provider, errors
from lexoffice_nb.api import client, pacing, signing
from lexoffice_nb.api.client import ApiSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GATEWAY = b'{"message":"Internal server error or rate limit exceeded"}'
FAULTS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "body": b'{"message":"Rate limit exceeded"}'},
    "500": {"status": 500},
    "500 as a rate limit": {"status": 500, "body": GATEWAY},
    "502": {"status": 502},
    "503": {"status": 503},
    "504": {"status": 504, "body": b'{"message":"Endpoint request timed out"}'},
    "no answer": {"status": 0},
    "broken off": {"promised": 100},
}
PASSING = pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_state_path", lambda *_: tmp_path / "state")


def methods(server: Any) -> list[str]:
    return [seen.method for seen in server.seen]


class TestWhatOnlyReads:
    @PASSING
    def test_is_asked_again_until_it_is_served(self, elsewhere, server, answer, fault):
        server.answers["/v1/x"] = [answer(**fault), answer(**fault), answer.of({"good": 1})]
        assert elsewhere.get("/v1/x").json() == {"good": 1}
        assert methods(server) == ["GET"] * 3

    @PASSING
    def test_is_asked_six_times_at_most_and_the_last_answer_counts(self, elsewhere, server, answer, fault):
        server.answers["/v1/x"] = [answer(**fault)]
        with pytest.raises((errors.ServerTrouble, errors.RateLimited)) as refused:
            elsewhere.get("/v1/x")
        assert methods(server) == ["GET"] * 6
        assert refused.value.status == (fault.get("status") or None)

    def test_is_asked_as_often_as_the_session_says(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(503)]
        elsewhere.max_attempts = 2
        with pytest.raises(errors.ServerTrouble):
            elsewhere.get("/v1/x")
        assert len(server.seen) == 2

    def test_includes_a_head(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(503, b""), answer(200, b"")]
        assert elsewhere.head("/v1/x").status_code == 200
        assert methods(server) == ["HEAD"] * 2

    @pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 406, 409, 415, 422, 501])
    def test_is_not_asked_again_where_the_answer_would_be_the_same(self, elsewhere, server, answer, status):
        server.answers["/v1/x"] = [answer(status)]
        with pytest.raises(errors.ApiError):
            elsewhere.get("/v1/x")
        assert len(server.seen) == 1

    def test_that_waited_for_an_answer_in_vain_is_asked_again(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(seconds=5), answer.of({"good": 1})]
        assert elsewhere.get("/v1/x", timeout=0.2).json() == {"good": 1}
        assert len(server.seen) == 2

    def test_sends_its_body_again_from_the_beginning(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(503), answer()]
        elsewhere.get("/v1/x", data=io.BytesIO(b"a file"))
        assert [seen.body for seen in server.seen] == [b"a file"] * 2

    def test_is_asked_again_behind_a_redirect_and_the_redirect_is_not(self, elsewhere, server, answer):
        server.answers["/go"] = [answer(302, headers={"Location": "/v1/x"})]
        server.answers["/v1/x"] = [answer(503), answer()]
        elsewhere.get("/go")
        assert [seen.path for seen in server.seen] == ["/go", "/v1/x", "/v1/x"]

    def test_of_another_origin_is_asked_once(self, elsewhere, other, answer):
        other.answers["/x"] = [answer(503)]
        with pytest.raises(errors.ServerTrouble):
            elsewhere.get(f"{other.url}/x")
        assert len(other.seen) == 1

    def test_as_a_stream_is_asked_again_for_its_status_and_not_for_its_body(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(503), answer(promised=100)]
        with elsewhere.get("/v1/x", stream=True) as response:
            assert response.status_code == 200
        assert len(server.seen) == 2

    def test_is_renewed_for_once_and_asked_again_for_what_passes(self, box, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(503), answer(401), answer(503), answer()]
        assert elsewhere.get("/v1/x").status_code == 200
        assert len({seen.headers["Authorization"] for seen in server.seen}) == 2
        assert len(server.seen) == 4

    def test_with_a_certificate_that_is_not_good_is_asked_once(self, elsewhere, server, caplog):
        caplog.set_level(logging.DEBUG, "lexoffice_nb")
        session = ApiSession(elsewhere._source, f"https://127.0.0.1:{server.port}")
        with session, pytest.raises(errors.ServerTrouble) as refused:
            session.get("/v1/x")
        assert refused.value.code == "api_tls"
        assert not any("attempt" in record.getMessage() for record in caplog.records)


class TestWhatChangesSomething:
    @PASSING
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_is_sent_once_whatever_comes_back(self, elsewhere, server, answer, method, fault):
        server.answers["/v1/x"] = [answer(**fault)]
        with pytest.raises((errors.ServerTrouble, errors.RateLimited)):
            elsewhere.request(method, "/v1/x", json={"a": 1})
        assert methods(server) == [method]

    @pytest.mark.parametrize("fault", ["429", "500 as a rate limit"])
    def test_and_was_refused_slows_what_comes_after_it(self, elsewhere, server, answer, fault):
        server.answers["/v1/x"] = [answer(**FAULTS[fault], headers={"Retry-After": "30"})]
        assert elsewhere._pace.wait(0)
        with pytest.raises((errors.ServerTrouble, errors.RateLimited)):
            elsewhere.post("/v1/x")
        assert not elsewhere._pace.wait(0)

    def test_and_failed_otherwise_slows_nobody(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(500)]
        with pytest.raises(errors.ServerTrouble):
            elsewhere.post("/v1/x")
        assert elsewhere._pace.wait(0)


class TestHowLong:
    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [("0", 0), ("7", 7), (" 7 ", 7), ("61", 60), ("9" * 5000, 60), ("Fri, 31 Dec 2199 23:59:59 GMT", 60)],
    )
    def test_a_server_may_ask_for_a_minute_at_most(self, answer, asked, seconds):
        assert signing._asked(self.response(asked)) == seconds

    @pytest.mark.parametrize(
        "asked", ["", "-5", "1e3", "inf", "nan", "soon", "²", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 99 Foo 9999999999"]
    )
    def test_what_is_no_time_to_come_is_nothing(self, asked):
        assert signing._asked(self.response(asked)) == 0

    @staticmethod
    def response(asked: str) -> Any:
        import requests

        response = requests.Response()
        response.headers["Retry-After"] = asked
        return response

    @pytest.mark.parametrize("status", [429, 503])
    def test_what_a_server_asks_for_is_waited(self, elsewhere, server, answer, status):
        server.answers["/v1/x"] = [answer(status, headers={"Retry-After": "1"}), answer()]
        begun = time.monotonic()
        elsewhere.get("/v1/x")
        assert 1 <= time.monotonic() - begun < 10

    def test_no_attempt_begins_after_the_patience_is_over(self, elsewhere, server, answer, monkeypatch):
        monkeypatch.setattr(signing, "PATIENCE", 20.0)
        server.answers["/v1/x"] = [answer(503, headers={"Retry-After": "30"})]
        begun = time.monotonic()
        with pytest.raises(errors.ServerTrouble):
            elsewhere.get("/v1/x")
        assert len(server.seen) == 1
        assert time.monotonic() - begun < 10

    @pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
    @pytest.mark.parametrize("status", [429, 503])
    def test_an_interrupt_ends_the_waiting(self, elsewhere, server, answer, status):
        server.answers["/v1/x"] = [answer(status, headers={"Retry-After": "40"})]
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            elsewhere.get("/v1/x")
        timer.join()
        assert time.monotonic() - begun < 10
        assert len(server.seen) == 1


class TestASmallAnswerThatSomebodyWaitsFor:
    @PASSING
    def test_is_asked_for_twice_at_most(self, elsewhere, server, answer, fault):
        server.answers["/v1/x"] = [answer(**fault)]
        with pytest.raises(errors.ApiError):
            elsewhere.read_briefly("/v1/x")
        assert len(server.seen) == 2

    @pytest.mark.parametrize("status", [429, 503])
    def test_is_not_waited_for_beyond_its_deadline(self, elsewhere, server, answer, status):
        server.answers["/v1/x"] = [answer(status, headers={"Retry-After": "30"})]
        begun = time.monotonic()
        with pytest.raises(errors.ApiError):
            elsewhere.read_briefly("/v1/x")
        assert len(server.seen) == 1
        assert time.monotonic() - begun < 10

    def test_is_not_waited_for_where_others_were_refused_a_moment_ago(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer()]
        elsewhere._pace.refused(40)
        begun = time.monotonic()
        with pytest.raises(errors.ServerTrouble) as refused:
            elsewhere.read_briefly("/v1/x")
        assert refused.value.code == "api_timeout"
        assert server.seen == []
        assert time.monotonic() - begun < 10

    def test_has_its_deadline_over_both_attempts(self, elsewhere, server, answer, monkeypatch):
        monkeypatch.setattr(client, "BRIEF_SECONDS", 1.0)
        server.answers["/v1/x"] = [answer(503), answer(seconds=30)]
        begun = time.monotonic()
        with pytest.raises(errors.ServerTrouble) as refused:
            elsewhere.read_briefly("/v1/x")
        assert refused.value.code == "api_timeout"
        assert time.monotonic() - begun < 5
        assert len(server.seen) == 2


class TestThePace:
    @pytest.fixture
    def paced(self, box: Any, tmp_path: Path) -> Callable[[float], LexofficeSession]:
        def make(interval: float) -> LexofficeSession:
            provider = replace(Provider.discover(box.url), request_interval=interval)
            return LexofficeSession.from_api_key(box.make_api_key(), provider)

        return make

    def test_is_kept_by_each_attempt(self, elsewhere, server, answer):
        elsewhere._pace.interval = 0.2
        server.answers["/v1/x"] = [answer(503), answer(401), answer(503), answer()]
        begun = time.monotonic()
        elsewhere.get("/v1/x")
        assert time.monotonic() - begun >= 3 * 0.2 * (1 - pacing.CREDIT)
        assert not elsewhere._pace.wait(0)

    def test_is_that_of_the_organisation_which_another_session_of_it_keeps_as_well(self, paced):
        one, other = paced(1), paced(1)
        one.get("/v1/profile")
        assert not other._pace.wait(0)

    def test_is_slowed_by_a_refusal_for_a_session_that_was_not_refused(self, elsewhere, server, answer, signed_in, box):
        server.answers["/v1/x"] = [answer(429, headers={"Retry-After": "30"})]
        neighbour = signed_in(box, api=server.url)
        with pytest.raises(errors.RateLimited):
            elsewhere.post("/v1/x")
        assert not neighbour._pace.wait(0)


def test_each_repetition_is_one_line_of_the_log_and_tells_no_secret(elsewhere, server, answer, caplog):
    caplog.set_level(logging.DEBUG, "lexoffice_nb")
    server.answers["/v1/x"] = [answer(503), answer(status=0), answer(429), answer()]
    elsewhere.get("/v1/x?name=secret-of-the-books")
    lines = [record.getMessage() for record in caplog.records if "attempt" in record.getMessage()]
    assert [line.split(", attempt")[0] for line in lines] == [
        "api: GET /v1/x: HTTP 503",
        "api: GET /v1/x: ConnectionError",
        "api: GET /v1/x: HTTP 429",
    ]
    assert "attempt 1 of 6; again in 0." in lines[0]
    assert lines[2].endswith("attempt 3 of 6; again when it is its turn")
    token = elsewhere.tokens.access_token.reveal()
    assert not any(word in caplog.text for word in (token, "secret-of-the-books"))
