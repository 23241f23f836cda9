"""The vendor's several error bodies, and no answer at all."""

from __future__ import annotations

import re

import pytest
import requests

from lexoffice_nb import errors

REGULAR = {
    "timestamp": "2023-05-11T17:12:31.233+02:00",
    "status": 406,
    "error": "Not Acceptable",
    "path": "/v1/x",
    "requestId": "5d58a0d8-1",
    "message": "Validation failed for request.",
    "details": [{"violation": "NOTNULL", "field": "lineItems[0].name", "message": "darf nicht leer sein"}],
}
LEGACY = {"requestId": "r-1", "IssueList": [{"i18nKey": "missing_entity", "source": "company.name", "type": "x"}]}
ODD = {"i18nKey": "bad_request_error", "source": "Required request parameter 'type'"}
GATEWAY_403 = {"message": "'eyJ' not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer'"}
HOSTILE = "\x1b[31m\u202eclick https://evil.example/x and www.evil.example" + "A" * 500
LINK = re.compile(r"://|www\.", re.IGNORECASE)


def refused(session, path="/v1/x", **options):
    session.max_attempts = 1  # what is told is the same after several
    with pytest.raises(errors.ApiError) as caught:
        session.get(path, **options)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthorized),
        (402, errors.NotAllowed),
        (403, errors.NotAllowed),
        (404, errors.NotFound),
        (405, errors.Invalid),
        (406, errors.Invalid),
        (409, errors.Conflict),
        (415, errors.Invalid),
        (429, errors.RateLimited),
        (500, errors.ServerTrouble),
        (501, errors.ServerTrouble),
        (503, errors.ServerTrouble),
        (504, errors.ServerTrouble),
    ],
)
def test_the_status_decides_the_class_whatever_the_body_is(elsewhere, server, answer, status, kind):
    bodies = (
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"message":"So"}',
        b'{"message":{"a":1}}',
        b"{" * 5000,
        b'{"details":3}',
    )
    for body in bodies[:: 4 if status == 429 else 1]:  # everybody waits longer after each of these
        server.answers["/v1/x"] = [answer(status, body)]
        error = refused(elsewhere)
        assert type(error) is kind
        assert (error.status, error.path, error.issues) == (status, "/v1/x", ())
        assert len(error._render_traceback_()) == 2


@pytest.mark.parametrize(
    ("body", "request_id", "issues"),
    [
        (REGULAR, "5d58a0d8-1", (("lineItems[0].name", "NOTNULL"),)),
        (LEGACY, "r-1", (("company.name", "missing_entity"),)),
        (ODD, None, (("Required request parameter 'type'", "bad_request_error"),)),
        ({"requestId": 7, "details": [None, "x", {}]}, None, (("-", "-"),)),
        ({"details": [{"field": str(n)} for n in range(99)]}, None, tuple((str(n), "-") for n in range(20))),
    ],
    ids=["regular", "legacy", "odd", "broken", "many"],
)
def test_what_is_wrong_with_which_field_is_in_issues(elsewhere, server, answer, body, request_id, issues):
    server.answers["/v1/x"] = [answer.of(body, 406)]
    error = refused(elsewhere)
    assert (error.request_id, error.issues) == (request_id, issues)


@pytest.mark.parametrize("body", [REGULAR, LEGACY, ODD])
def test_the_message_names_the_field(elsewhere, server, answer, body):
    server.answers["/v1/x"] = [answer.of(body, 406)]
    error = refused(elsewhere)
    assert error.issues[0][0] in str(error)


def test_a_403_of_an_unknown_path_is_not_found(elsewhere, server, answer):
    server.answers["/v1/x"] = [answer.of(GATEWAY_403, 403)]
    assert type(refused(elsewhere)) is errors.NotFound


class TestOnTheSandbox:
    def test_an_unknown_path_is_not_found(self, session):
        assert type(refused(session, "/v1/nothing")) is errors.NotFound

    def test_a_scope_that_was_not_granted_is_not_allowed(self, box, signed_in):
        error = refused(signed_in(box, scopes="openid profile"), "/v1/contacts")
        assert type(error) is errors.NotAllowed
        assert "--scope" in error.remedy

    def test_an_unknown_invoice_is_not_found_with_its_request_id(self, session):
        error = refused(session, "/v1/invoices/nope")
        assert type(error) is errors.NotFound
        assert len(error.request_id) == 36

    def test_a_legacy_body_has_issues(self, session):
        assert refused(session, "/v1/contacts/nope").issues == (("id", "missing_entity"),)

    def test_a_missing_parameter_is_invalid(self, session):
        assert type(refused(session, "/v1/voucherlist")) is errors.Invalid

    def test_too_fast_is_rate_limited(self, box, session):
        box.settings.rate_limit = 0.001
        for _ in range(5):
            session.get("/v1/profile")
        assert type(refused(session, "/v1/profile")) is errors.RateLimited


class TestThreat26:
    @pytest.mark.parametrize("status", [401, 402, 403, 404, 406, 409, 429, 500])
    def test_text_of_a_server_is_harmless(self, elsewhere, server, answer, status):
        body = {
            "message": HOSTILE,
            "requestId": HOSTILE,
            "details": [{"field": HOSTILE, "message": HOSTILE}],
            "IssueList": [{"source": HOSTILE, "i18nKey": HOSTILE}],
        }
        server.answers["/v1/x"] = [answer.of(body, status)]
        error = refused(elsewhere)
        shown = [*error._render_traceback_(), str(error), error.request_id, *(w for pair in error.issues for w in pair)]
        assert len(error.issues) == 2
        for text in shown:
            assert text.isprintable()
            assert not LINK.search(text)
            assert len(text) < 500

    def test_neither_is_a_path_that_a_redirect_made(self, elsewhere, server, answer):
        server.answers["/go"] = [answer(302, headers={"Location": "/https://evil.example/x"})]
        error = refused(elsewhere, "/go")
        assert not LINK.search(error.path + str(error))

    def test_neither_is_a_reason(self, elsewhere, server, answer, monkeypatch):
        response = requests.Response()
        response.status_code, response.reason, response.url, response._content = 500, HOSTILE, server.url, b""
        from lexoffice_nb.api.refusals import refusal

        assert not LINK.search(str(refusal(response)))


class TestNoAnswer:
    def test_of_a_server_that_hangs_up(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(0)]
        assert refused(elsewhere).code == "api_unreachable"

    def test_of_nobody(self, elsewhere, server):
        server.stop()
        assert refused(elsewhere).code == "api_unreachable"

    def test_in_time(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(200, seconds=5)]
        assert refused(elsewhere, timeout=0.1).code == "api_timeout"

    def test_all_of_it_in_time(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(200, b"{", promised=99, stalls=5)]
        assert refused(elsewhere, timeout=0.2).code == "api_timeout"

    def test_all_of_it(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(200, b"{}", promised=99)]
        assert refused(elsewhere).code == "api_broken_off"

    def test_in_the_encoding_it_claims(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(200, b"no gzip", headers={"Content-Encoding": "gzip"})]
        assert refused(elsewhere).code == "api_broken_off"

    def test_with_a_certificate(self, elsewhere, server):
        assert refused(elsewhere, f"https://127.0.0.1:{server.port}/x").code == "api_tls"

    def test_names_host_and_path_and_is_server_trouble(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(0)]
        error = refused(elsewhere)
        assert isinstance(error, errors.ServerTrouble)
        assert (error.status, error.path) == (None, "/v1/x")
        assert "127.0.0.1" in str(error)

    def test_to_an_error_that_is_streamed_leaves_no_connection_open(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(500, b"x" * 70_000)]
        assert refused(elsewhere, stream=True).code == "api_server"
