"""Faults on demand, as a client meets them over real HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from flask import Response

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from lexoffice_nb.sandbox.faults import Fault, Faults, Met

if TYPE_CHECKING:
    from collections.abc import Iterator

PROFILE = "/v1/profile"
BEFORE = [Fault.INTERNAL, Fault.UNAVAILABLE, Fault.TOO_MANY, Fault.HTML, Fault.CUT_EARLY]
AFTER = [Fault.TIMEOUT, Fault.CUT, Fault.CUT_BODY, Fault.MALFORMED, Fault.WRONG_TYPE]


class Api:
    """A client that repeats nothing."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.key = box, box.make_api_key()

    def get(self, path: str = PROFILE, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.get(self.box.url + path, headers=headers, timeout=10, **options)

    def outcome(self, path: str = PROFILE) -> int:
        """The status, or 0 where none came."""
        try:
            return self.get(path, stream=True).status_code
        except requests.ConnectionError:
            return 0


@pytest.fixture
def api(shared_box: Sandbox) -> Iterator[Api]:
    """A client of a sandbox that all of these tests share: faults are all that they change of it."""
    shared_box.settings.faults = Faults()
    yield Api(shared_box)
    shared_box.settings.faults = Faults()


def authorised(box: Sandbox) -> bool:
    """Whether the last request got as far as the API."""
    return box.requests[-1].authorised_as is not None


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("500", 500, {"message": "Internal server error or rate limit exceeded"}),
        ("504", 504, {"message": "Endpoint request timed out"}),
        ("429", 429, {"message": "Rate limit exceeded"}),
    ],
)
def test_the_gateways_refusals_are_the_vendors_and_come_as_often_as_was_said(api, fault, status, body):
    api.box.faults.next(fault, 2)
    answers = [api.get() for _ in range(3)]
    assert [each.status_code for each in answers] == [status, status, 200]
    assert answers[0].json() == body
    assert answers[0].headers["Content-Type"] == "application/json"
    assert "Retry-After" not in answers[0].headers
    assert [each.status for each in api.box.requests[-3:]] == [status, status, 200]
    assert api.box.faults.done == {fault: 2}


def test_a_503_is_free_text(api):
    api.box.faults.next("503")
    answer = api.get()
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/plain")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(answer.text)


@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_the_request_leaves_it_undone(api, fault):
    api.box.faults.next(fault)
    api.outcome()
    assert not authorised(api.box)
    assert api.outcome() == 200


@pytest.mark.parametrize("fault", AFTER)
def test_a_fault_after_the_request_has_carried_it_out(api, fault):
    api.box.faults.next(fault)
    api.outcome()
    assert authorised(api.box)
    assert api.outcome() == 200


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.CUT_EARLY])
def test_a_connection_that_is_cut_ends_without_an_octet_and_is_recorded_as_0(api, fault):
    api.box.faults.next(fault)
    with socket.create_connection(("127.0.0.1", api.box.port), timeout=10) as plain:
        headers = f"Host: 127.0.0.1:{api.box.port}\r\nAuthorization: Bearer {api.key}\r\n"
        plain.sendall(f"GET {PROFILE} HTTP/1.1\r\n{headers}\r\n".encode())
        assert plain.recv(100) == b""  # and not a timeout: the server has closed it
    assert api.box.requests[-1].status == 0


def test_a_cut_write_ends_without_an_octet_as_well(api):
    api.box.faults.next("cut_early", method="POST")
    with pytest.raises(requests.ConnectionError):
        requests.post(api.box.url + "/v1/contacts", json={"note": "x" * 50_000}, timeout=10)
    assert api.box.requests[-1].status == 0


@pytest.mark.parametrize(("fault", "written"), [("504", 1), ("cut", 1), ("cut_body", 1), ("500", 0), ("cut_early", 0)])
def test_a_write_is_in_the_books_after_a_504_or_a_late_cut_and_not_after_the_others(api, fault, written):
    name = f"Fund {fault.replace('_', ' ')} GmbH"
    api.box.faults.next(fault, method="POST")
    contact = {"version": 0, "roles": {"customer": {}}, "company": {"name": name}}
    with contextlib.suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        headers = {"Authorization": f"Bearer {api.key}"}
        requests.post(api.box.url + "/v1/contacts", json=contact, headers=headers, timeout=10)
    assert api.get(f"/v1/contacts?name={name}").json()["totalElements"] == written


def test_a_body_that_is_cut_is_shorter_than_its_content_length(api):
    whole = api.get().content
    api.box.faults.next("cut_body")
    connection = http.client.HTTPConnection("127.0.0.1", api.box.port, timeout=10)
    connection.request("GET", PROFILE, headers={"Authorization": f"Bearer {api.key}"})
    response = connection.getresponse()
    assert (response.status, int(response.headers["Content-Length"])) == (200, len(whole))
    with pytest.raises(http.client.IncompleteRead) as cut:
        response.read()
    connection.close()
    assert 0 < len(cut.value.partial) < len(whole)
    assert whole.startswith(cut.value.partial)
    assert api.box.requests[-1].status == 200


def test_a_streamed_body_that_is_cut_has_the_length_that_it_would_have_had():
    spoiled = Met(Fault.CUT_BODY).spoil(Response(iter([b"one", b"two"])))
    assert (b"".join(spoiled.response), spoiled.content_length) == (b"one", 6)


@pytest.mark.parametrize("path", [PROFILE, "/v1/contacts"])
def test_malformed_json_comes_whole_with_200(api, path):
    api.box.faults.next("malformed")
    answer = api.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert len(answer.content) == int(answer.headers["Content-Length"])
    with pytest.raises(ValueError):  # noqa: PT011 - whatever a parser says of it
        answer.json()


def test_html_comes_with_200(api):
    api.box.faults.next("html")
    answer = api.get()
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<script>" in answer.text


def test_a_wrong_content_type_leaves_the_answer_right(api):
    right = api.get()
    api.box.faults.next("wrong_type")
    answer = api.get()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.json() == right.json()


def test_a_token_that_dies_early_stays_dead_and_a_renewed_one_lives(own):
    tokens = own.tokens()
    own.box.faults.next("dead_token")
    for _ in range(2):
        answer = own.api(PROFILE, tokens["access_token"])
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert own.box.requests[-1].status == 401
    renewed = own.refresh(tokens["refresh_token"]).json()
    assert own.api(PROFILE, renewed["access_token"]).ok
    assert own.api(PROFILE, tokens["access_token"]).status_code == 401


def test_an_api_key_does_not_die_early(api):
    api.box.faults.next("dead_token", 2)
    assert [api.outcome(), api.outcome()] == [200, 200]
    assert not api.box.faults.done


def test_a_slow_answer_is_carried_out_at_once_and_given_late(api):
    api.box.faults.next("slow", wait=5)
    with pytest.raises(requests.ReadTimeout):
        requests.get(api.box.url + PROFILE, headers={"Authorization": f"Bearer {api.key}"}, timeout=0.4)
    assert api.outcome() == 200
    api.box.faults.slow = 0.3
    begun = time.monotonic()
    assert api.outcome() == 200
    assert time.monotonic() - begun >= 0.3


def test_a_storm_of_429_lasts_for_its_requests_or_for_its_time(api):
    api.box.faults.next("429", 4)
    assert [api.outcome() for _ in range(6)] == [429] * 4 + [200] * 2
    api.box.faults.next("429", None, seconds=0.5)
    begun = time.monotonic()
    while (status := api.outcome()) == 429:
        assert time.monotonic() - begun < 10
        time.sleep(0.05)
    assert (status, time.monotonic() - begun >= 0.5) == (200, True)


def test_a_planned_fault_waits_for_its_path_and_its_method(api):
    api.box.faults.next("500", path="/v1/contacts*")
    api.box.faults.next("503", method="POST")
    assert [api.outcome(path) for path in (PROFILE, "/v1/contacts?page=0", "/v1/contacts")] == [200, 500, 200]
    assert requests.post(api.box.url + "/v1/contacts", timeout=10).status_code == 503


def test_what_was_planned_first_is_met_first_and_can_be_taken_back(api):
    for fault in ("500", "429", "503"):
        api.box.faults.next(fault)
    assert [api.outcome(), api.outcome()] == [500, 429]
    api.box.faults.share_500, api.box.faults.slow = 1.0, 60.0
    api.box.faults.clear()
    assert api.outcome() == 200


def test_shares_are_drawn_from_the_seed(api, tmp_path):
    plan = {"share_500": 0.10, "share_504": 0.05, "share_cut": 0.05, "share_429": 0.05}
    met = []
    for seed, folder in ((1, "a"), (1, "b"), (2, "c")):
        settings = SandboxSettings(faults=Faults(seed, **plan))
        with Sandbox(data_dir=tmp_path / folder, settings=settings) as box:
            other = Api(box)
            met.append([other.outcome() for _ in range(60)])
            assert [each.status for each in box.requests] == met[-1]
    assert met[0] == met[1] != met[2]
    assert {0, 200, 429, 500, 504} == set(met[0])


def test_the_shares_are_what_they_say():
    faults = Faults(7, share_500=0.10, share_503=0.01, share_504=0.05, share_cut=0.05, share_429=0.05)
    for _ in range(20_000):
        faults.meet("GET", PROFILE, "", lambda _: False)
    expected = {"500": 0.10, "503": 0.01, "504": 0.05, "cut": 0.05, "429": 0.05}
    assert {name: count / 20_000 for name, count in faults.done.items()} == pytest.approx(expected, abs=0.008)
    assert faults.done.keys() == expected.keys()


def test_slowness_changes_nothing_about_which_requests_fail():
    met = []
    for slow in (0.0, 0.5):
        faults = Faults(3, share_500=0.3, slow=slow, share_slow=0.5)
        met.append([faults.meet("GET", PROFILE, "", lambda _: False) for _ in range(50)])
    assert [bool(each and each.fault) for each in met[0]] == [bool(each and each.fault) for each in met[1]]
    assert 10 < sum(bool(each and each.wait) for each in met[1]) < 40


def test_a_planned_fault_shifts_none_of_the_drawn_ones():
    met = []
    for planned in (0, 5):
        faults = Faults(3, share_500=0.3)
        faults.next("503", planned)
        met.append([faults.meet("GET", PROFILE, "", lambda _: False) for _ in range(planned + 50)][planned:])
    assert met[0] == met[1]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_storm_is_two_500_to_one_of_each_other(share):
    faults = Faults.storm(share, 5)
    for _ in range(5000):
        faults.meet("GET", PROFILE, "", lambda _: False)
    assert sum(faults.done.values()) == pytest.approx(5000 * share, abs=150)
    if share:
        parts = {"500": 0.4, "504": 0.2, "cut": 0.2, "429": 0.2}
        assert {name: count / faults.done.total() for name, count in faults.done.items()} == pytest.approx(
            parts, abs=0.05
        )


@pytest.mark.parametrize("plan", [{"share_500": -0.1}, {"share_500": 1.1}, {"share_500": 0.6, "share_cut": 0.6}])
def test_shares_that_cannot_be_are_refused(plan):
    with pytest.raises(ValueError, match="share"):
        Faults(**plan)


def test_a_fault_that_does_not_exist_is_refused(api):
    with pytest.raises(ValueError, match="502"):
        api.box.faults.next("502")


def test_only_the_api_is_touched(own):
    own.box.faults.share_500 = 1.0
    tokens = own.tokens()
    assert own.refresh(tokens["refresh_token"]).ok
    assert own.open("/sign-in").ok
    assert own.open("/.well-known/openid-configuration").ok
    assert own.open(f"/sandbox/identity?nonce={'n' * 43}").ok
    assert own.api(PROFILE, tokens["access_token"]).status_code == 500


def test_a_head_has_no_body_that_could_break_off_and_is_left_alone(api):
    api.box.faults.share_500 = 1.0
    headers = {"Authorization": f"Bearer {api.key}"}
    assert requests.head(api.box.url + PROFILE, headers=headers, timeout=10).status_code == 200


def test_threat_38_no_request_switches_a_fault_on(own):
    tokens = own.tokens()
    words = {"fault": "500", "share_500": "1", "faults": "1", "slow": "9"}
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/sandbox/faults", "/faults", "/v1/faults", PROFILE):
            headers = {"Authorization": f"Bearer {tokens['access_token']}", "X-Fault": "500"}
            requests.request(method, own.box.url + path, params=words, json=words, headers=headers, timeout=10)
    assert own.box.faults == Faults()
    assert not own.box.faults.done
    assert own.api(PROFILE, tokens["access_token"]).ok
