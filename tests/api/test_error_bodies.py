"""The vendor's four error bodies as it sends them, in plain words, and what a person is told to do about each."""

from __future__ import annotations

import json
import pickle
import re
import socket
import threading
import time

import pytest
import requests

from lexoffice_nb import LexofficeSession, Provider, errors
from lexoffice_nb.api.refusals import path_of, refusal, trouble
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.texts import LANGUAGES, use_language
from tests.api.raw_server import RawServer

GATEWAY_403 = (
    "'sk-opaque-1' not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer sk-opaque-1'."
)
LINK = re.compile(r"://|www\.", re.IGNORECASE)
READS, WRITES = ("GET", "HEAD", "OPTIONS"), ("POST", "PUT", "PATCH", "DELETE")
ID = "/v1/invoices/1f6a4e52-0000-4000-8000-000000000001"


def regular(*details, status=406, message="Validation failed for request.", **more):
    return {"status": status, "error": "Not Acceptable", "message": message, "details": list(details), **more}


def violation(code, field="title", message="ist falsch"):
    return {"violation": code, "field": field, "message": message}


def legacy(*issues):
    return {"requestId": "r-1", "IssueList": [{"i18nKey": key, "source": source} for key, source in issues]}


def sent_in(language, error):
    use_language(language)
    return error._render_traceback_()


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
def answered(raw):
    """Gives the error that is made of a real answer to a real request."""

    def answered(status, body=b"", path="/v1/x", method="GET", *, headers=None, stream=False, **options):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        raw.answer = RawServer.http(status, content, **(headers or {}))
        with requests.request(method, raw.url + path, timeout=5, stream=stream) as response:
            return refusal(response, **options)

    return answered


class TestConflict:
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (409, {"message": "Conflict"}),
            (409, b""),
            (406, legacy(("invalid_value", "version"))),
            (406, legacy(("missing_entity", "company.name"), ("invalid_value", "version"))),
            (406, legacy(("invalid_value", "lockVersion"))),
        ],
    )
    def test_is_a_stale_version_whatever_the_status_is(self, answered, status, body):
        error = answered(status, body, "/v1/contacts/1", "PUT")
        assert (type(error), error.code, error.status) == (errors.Conflict, "api_conflict", status)
        assert "Read it again" in error.remedy

    def test_says_that_the_version_is_not_the_current_one(self, answered):
        error = answered(406, legacy(("invalid_value", "version")), "/v1/contacts/1", "PUT")
        assert "version: is not the current one" in error.what("en")
        assert "version: ist nicht die aktuelle" in error.what("de")

    def test_is_no_version_that_was_left_out(self, answered):
        error = answered(406, legacy(("missing_entity", "version")), "/v1/contacts", "POST")
        assert (type(error), error.code) == (errors.Invalid, "api_fields")
        assert "version: is missing" in str(error)

    @pytest.mark.parametrize("field", ["versions", "company.name", "lineItems[0].version", "Version"])
    def test_is_no_other_field(self, answered, field):
        assert type(answered(406, legacy(("invalid_value", field)))) is errors.Invalid

    @pytest.mark.parametrize(
        ("status", "path", "message"),
        [
            (409, f"{ID}/file", "Conflict"),
            (406, f"{ID}/file", "Requesting PDF document is not possible in state draft."),
            (406, f"{ID}/document", "Requesting PDF document is not possible in state draft."),
        ],
    )
    def test_of_a_drafts_file_has_words_of_its_own(self, answered, status, path, message):
        error = answered(status, regular(message=message), path)
        assert (type(error), error.code) == (errors.Conflict, "api_draft_without_file")
        assert "a draft has no file yet: finalize it first" in str(error)

    def test_of_a_drafts_payments_has_words_of_its_own(self, answered):
        message = "Requesting payments is not possible in state draft."
        error = answered(406, regular(message=message), f"/v1/payments/{'0' * 8}")
        assert (type(error), error.code) == (errors.Conflict, "api_draft_without_payments")

    def test_is_not_a_file_that_is_wanted_in_another_format(self, answered):
        assert type(answered(406, regular(message="No acceptable representation"), f"{ID}/file")) is errors.Invalid


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "method", "kind", "code"),
        [
            (400, "POST", errors.Invalid, "api_invalid"),
            (402, "GET", errors.NotAllowed, "api_contract"),
            (405, "DELETE", errors.Invalid, "api_method"),
            (406, "POST", errors.Invalid, "api_invalid"),
            (413, "POST", errors.Invalid, "api_invalid"),
            (415, "POST", errors.Invalid, "api_media"),
            (429, "POST", errors.RateLimited, "api_rate_limited"),
            (501, "POST", errors.ServerTrouble, "api_not_offered"),
            (503, "GET", errors.ServerTrouble, "api_busy"),
            (504, "GET", errors.ServerTrouble, "api_server"),
        ],
    )
    @pytest.mark.parametrize(
        "body", [b"", b"null", b"Service Unavailable", b"<html><h1>no</h1></html>", {"message": 1}]
    )
    def test_decides_where_the_body_says_nothing(self, answered, status, method, kind, code, body):
        error = answered(status, body, method=method)
        assert (type(error), error.code, error.issues) == (kind, code, ())

    def test_404_of_an_id_names_it_and_says_to_check_it(self, answered):
        error = answered(404, b"", ID)
        assert (type(error), error.code) == (errors.NotFound, "api_no_such_id")
        assert ID in error.what()
        assert "id" in error.remedy

    def test_404_of_a_file_says_what_there_is_as_xml(self, answered):
        error = answered(404, b"", f"{ID}/file")
        assert error.code == "api_no_file"
        assert "XML" in error.remedy

    def test_405_names_the_method(self, answered):
        assert "PATCH" in answered(405, b"", method="PATCH").what()

    def test_429_says_that_everybody_is_slower_now_and_to_run_the_cell_again(self, answered):
        remedy = answered(429, {"message": "Rate limit exceeded"}).remedy
        assert "every notebook" in remedy
        assert "run this cell again" in remedy

    @pytest.mark.parametrize("status", [500, 400])
    def test_of_more_rows_than_one_window_has_says_how_to_list_them(self, answered, status):
        error = answered(status, regular(message="Maximum search window size exceeded"), "/v1/voucherlist")
        assert (".list(" in error.remedy, "by date" in error.remedy) == (status == 500, status == 500)

    def test_401_of_a_key_says_where_to_make_a_new_one(self, answered):
        error = answered(401, {"message": "Unauthorized"}, key=True)
        assert (type(error), error.code) == (errors.Unauthorized, "api_unauthorized_for_good")
        assert "app.lexware.de/addons/public-api" in error.remedy
        assert "--api-key --force" in error.next("de")

    def test_403_names_the_scopes_that_are_needed_where_they_are_known(self, answered):
        error = answered(403, {"message": "Forbidden"}, "/v1/contacts", scopes=["contacts.read", "files.read"])
        assert (type(error), error.code) == (errors.NotAllowed, "api_scopes")
        for language in LANGUAGES:
            assert "contacts.read files.read" in error.what(language)
            assert "--scope … contacts.read files.read –" in error.next(language)

    def test_403_without_known_scopes_still_says_how_to_ask_for_one(self, answered):
        assert "--scope" in answered(403, {"message": "Forbidden"}).remedy

    def test_403_of_the_gateway_is_not_found_and_repeats_nothing_of_the_header(self, answered):
        error = answered(403, {"message": GATEWAY_403}, scopes=["x"])
        assert type(error) is errors.NotFound
        assert "sk-opaque" not in repr(vars(error)) + str(error)

    def test_other_than_403_has_no_scopes(self, answered):
        assert "profile.read" not in str(answered(404, b"", scopes=["profile.read"]))


class TestParameter:
    @pytest.mark.parametrize(
        ("body", "query", "named"),
        [
            (
                regular(message="Invalid value 'x' received for request parameter 'voucherType'."),
                "size=1",
                "voucherType",
            ),
            (regular(message="Invalid value 'parameter 'a'' for request parameter 'sort'"), "", "sort"),
            (regular(message="voucherNumber parameter is required"), "", "voucherNumber"),
            ({"i18nKey": "bad_request_error", "source": "Required request parameter 'type' …"}, "", "type"),
            (legacy(("bad_request_error", "Required request parameter 'type' …")), "", "type"),
            (regular(message="Value must be one of: [PRODUCT, SERVICE]"), "type=x&page=0&type=y", "type, page"),
            (b"", "a=1&b=2&c=3&d=4&e=5&f=6", "a, b, c, d, e"),
        ],
    )
    def test_of_a_400_is_named(self, answered, body, query, named):
        error = answered(400, body, f"/v1/articles?{query}")
        assert (type(error), error.code) == (errors.Invalid, "api_parameter")
        for language in LANGUAGES:
            assert f": {named}." in error.next(language)

    def test_has_no_value_of_the_request(self, answered):
        assert "4711" not in str(answered(400, b"", "/v1/articles?number=4711"))

    def test_of_a_write_is_not_guessed(self, answered):
        assert answered(400, b"", "/v1/invoices?finalize=true", "POST").code == "api_invalid"

    def test_is_not_looked_for_where_there_is_none(self, answered):
        assert answered(400, b"").code == "api_invalid"


CODES = {
    "NOTNULL": ("is missing", "fehlt"),
    "NOTBLANK": ("is empty", "ist leer"),
    "NotEmpty": ("is empty", "ist leer"),
    "NULL": ("must not be given", "darf nicht angegeben werden"),
    "missing_entity": ("is missing", "fehlt"),
    "invalid_value": ("has a value that is not accepted", "hat einen Wert, der nicht angenommen wird"),
    "invalid_email": ("is no e-mail address", "ist keine E-Mail-Adresse"),
    "EMAIL": ("is no e-mail address", "ist keine E-Mail-Adresse"),
    "bad_request_error": ("is missing, or not as it must be", "fehlt oder ist nicht so, wie es sein muss"),
    "technical_error": ("led to an error in the API", "hat in der API zu einem Fehler geführt"),
    "invalid_taxrate_2": ("has a tax rate that is not allowed here (2)", "hat einen Steuersatz, der hier nicht"),
    "collective_customer_not_applicable": ("the collective customer cannot be used", "der Sammelkunde kann hier"),
    "custom_contact_name_for_referenced_contact_not_allowed": ("takes no other name", "bekommt keinen anderen Namen"),
    "contact_is_neither_customer_nor_vendor": ("neither customer nor vendor", "weder Kunde noch Lieferant"),
    "SIZE": ("is too short or too long (ist falsch)", "ist zu kurz oder zu lang (ist falsch)"),
    "MAX": ("is too large (ist falsch)", "ist zu groß (ist falsch)"),
    "DECIMAL_MIN": ("is too small (ist falsch)", "ist zu klein (ist falsch)"),
    "PATTERN": ("is not written as it must be (ist falsch)", "ist nicht so geschrieben, wie es sein muss (ist"),
    "DIGITS": ("has too many digits (ist falsch)", "hat zu viele Stellen (ist falsch)"),
    "FUTURE": ("is a date that is not allowed here (ist falsch)", "ist ein Datum, das hier nicht zulässig ist"),
    "SOMETHING_NEW": ("ist falsch", "ist falsch"),
}


class TestIssues:
    @pytest.mark.parametrize(("code", "words"), CODES.items())
    def test_of_a_regular_body_are_said_in_plain_words_of_both_languages(self, answered, code, words):
        error = answered(406, regular(violation(code)), method="POST")
        assert error.issues == (("title", code),)
        for language, said in zip(LANGUAGES, words, strict=True):
            assert "title: " in error.what(language)
            assert said in error.what(language)
            assert ("(ist falsch)" in error.what(language)) == ("(ist falsch)" in words[0])

    @pytest.mark.parametrize("code", [code for code in CODES if "_" in code and code.islower()])
    def test_of_a_legacy_body_are_said_in_the_same_words(self, answered, code):
        error = answered(406, legacy((code, "company.name")), method="POST")
        assert error.issues == (("company.name", code),)
        assert CODES[code][0] in error.what("en")
        assert "company.name: " in error.what("en")

    def test_of_an_unknown_code_without_words_show_the_code(self, answered):
        assert "name: brand_new" in answered(406, legacy(("brand_new", "name"))).what("de")

    def test_that_have_the_code_where_the_field_should_be_are_understood(self, answered):
        error = answered(406, legacy(("technical_error", "contact_is_neither_customer_nor_vendor")))
        assert "the contact is neither customer nor vendor" in error.what("en")
        assert "contact_is" not in error.what("en")

    def test_without_a_field_say_what_is_wrong_alone(self, answered):
        said = answered(406, regular({"violation": "NOTNULL"}), method="POST").what("en")
        assert said.endswith("/v1/x: is missing.")

    def test_without_a_code_show_the_vendors_words(self, answered):
        error = answered(406, regular({"field": "a", "message": "geht nicht"}))
        assert error.issues == (("a", "geht nicht"),)
        assert "a: geht nicht" in error.what("en")

    @pytest.mark.parametrize(("language", "more"), [("en", "and 2 more"), ("de", "und 2 weitere")])
    def test_are_three_in_the_message_and_all_in_the_attribute(self, answered, language, more):
        error = answered(406, regular(*(violation("NOTNULL", f"f{n}") for n in range(5))))
        assert [field for field, _ in error.issues] == ["f0", "f1", "f2", "f3", "f4"]
        assert "f2: " in error.what(language)
        assert "f3" not in error.what(language)
        assert more in error.what(language)
        assert ".issues" in error.next(language)

    def test_name_the_place_in_the_record(self, answered):
        error = answered(406, regular(violation("NOTNULL", "lineItems[0].unitPrice.taxRatePercentage")))
        assert "lineItems[0].unitPrice.taxRatePercentage: is missing" in error.what("en")
        assert error.code == "api_fields"

    def test_stay_short(self, answered):
        error = answered(406, regular(*(violation("SIZE", "f" * 500, "m" * 500) for _ in range(5))))
        assert len(error.what("en")) < 300

    def test_change_their_language_with_the_person_and_survive_a_pickle(self, answered):
        error = pickle.loads(pickle.dumps(answered(406, regular(violation("SIZE")))))
        assert "ist zu kurz" in sent_in("de", error)[0]
        assert "is too short" in sent_in("en", error)[0]
        assert "is too short or too long (ist falsch)" in str(error)


class TestWrite:
    @pytest.mark.parametrize("method", WRITES)
    @pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
    def test_that_ended_in_trouble_may_have_been_applied(self, answered, method, status):
        error = answered(status, {"message": "Endpoint request timed out"}, method=method)
        assert (type(error), error.code, error.status) == (errors.ServerTrouble, "api_write_unknown", status)
        assert error.may_have_been_applied
        for language, words in (("en", "Look before you try again"), ("de", "bevor Sie es erneut versuchen")):
            assert "Endpoint request timed out" in error.what(language)
            assert words in error.next(language)
        assert pickle.loads(pickle.dumps(error)).may_have_been_applied

    @pytest.mark.parametrize("method", WRITES)
    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 409, 415, 422, 429, 501])
    def test_that_was_refused_was_not_applied(self, answered, method, status):
        error = answered(status, b"", method=method)
        assert not error.may_have_been_applied
        assert error.code != "api_write_unknown"

    @pytest.mark.parametrize("method", READS)
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_is_no_read(self, answered, method, status):
        error = answered(status, b"", method=method)
        assert not error.may_have_been_applied
        assert "applied" not in str(error)

    @pytest.mark.parametrize("method", [*READS, *WRITES])
    @pytest.mark.parametrize(
        "answer",
        [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"no HTTP\r\n\r\n"],
        ids=["none", "half", "noise"],
    )
    def test_without_a_whole_answer_may_have_been_applied(self, raw, method, answer):
        raw.answer = answer
        try:
            requests.request(method, f"{raw.url}/v1/x", timeout=5)
        except requests.exceptions.RequestException as caught:
            error = trouble(caught, f"{raw.url}/v1/x", method)
            assert error.may_have_been_applied == (method in WRITES)
            assert (error.code == "api_write_unknown") == (method in WRITES)
            assert "127.0.0.1" in error.what("de")
        else:
            assert (method, answer[:8]) == ("HEAD", b"HTTP/1.1")

    def test_that_nobody_answered_in_time_may_have_been_applied(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/x"
            with pytest.raises(requests.exceptions.ReadTimeout) as caught:
                requests.post(url, timeout=0.2)
        error = trouble(caught.value, url, "POST")
        assert (error.code, error.may_have_been_applied) == ("api_write_unknown", True)
        assert error.what("en").startswith("127.0.0.1 did not answer in time. The change sent to /v1/x")
        assert trouble(caught.value, url, "GET").code == "api_timeout"

    def test_is_known_as_one_by_the_exceptions_own_request(self, raw):
        raw.answer = b""
        with pytest.raises(requests.exceptions.ConnectionError) as caught:
            requests.post(raw.url, timeout=5)
        assert trouble(caught.value, raw.url).may_have_been_applied

    def test_that_reached_nobody_was_not_applied(self):
        with socket.create_server(("127.0.0.1", 0)) as gone:
            url = f"http://127.0.0.1:{gone.getsockname()[1]}/v1/x"
        with pytest.raises(requests.exceptions.ConnectionError) as caught:
            requests.post(url, timeout=5)
        error = trouble(caught.value, url, "POST")
        assert (error.code, error.may_have_been_applied) == ("api_unreachable", False)

    def test_before_which_the_proxy_failed_was_not_applied(self, raw):
        raw.answer = RawServer.http(502)
        with pytest.raises(requests.exceptions.ProxyError) as caught:
            requests.post("https://api.example/v1/x", proxies={"https": raw.url}, timeout=5)
        error = trouble(caught.value, "https://api.example/v1/x", "POST")
        assert (error.code, error.may_have_been_applied) == ("api_proxy", False)

    def test_through_a_session_may_have_been_applied(self, elsewhere, server, answer):
        for broken in (answer(504), answer(0)):
            server.answers["/v1/invoices"] = [broken]
            with pytest.raises(errors.ServerTrouble) as caught:
                elsewhere.post("/v1/invoices", json={"note": "x"})
            assert (caught.value.code, caught.value.may_have_been_applied) == ("api_write_unknown", True)
        assert [seen.method for seen in server.seen] == ["POST", "POST"]


def test_what_is_no_url_has_no_path():
    assert path_of("http://[") == path_of(None) == ""


class TestRequestId:
    @pytest.mark.parametrize(
        ("body", "headers", "request_id"),
        [
            ({"requestId": "of-body", "traceId": "t"}, {"X_Request_Id": "of-header"}, "of-body"),
            ({"traceId": "t"}, {"X_Request_Id": "of-header"}, "of-header"),
            ({}, {"x_amzn_RequestId": "amazon", "X_Request_Id": "other"}, "amazon"),
            ({"traceId": "t"}, {}, "t"),
            ({"requestId": ""}, {"X_Correlation_Id": "c"}, "c"),
            (b"<html>", {"X_AMZN_REQUESTID": "amazon"}, "amazon"),
            ({"requestId": 7, "traceId": ["x"]}, {}, None),
            ({"requestId": "\x1b[31m\u202e"}, {"X_Request_Id": "\x1b"}, "[31m"),
        ],
    )
    def test_is_the_bodys_else_a_gateways_else_the_traces(self, answered, body, headers, request_id):
        assert answered(404, body, headers=headers).request_id == request_id

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_is_shown_where_the_vendors_support_is_needed(self, answered, language):
        assert "id-77" in sent_in(language, answered(500, {"requestId": "id-77"}))[1]
        assert "id-77" in sent_in(language, answered(504, {"requestId": "id-77"}, method="POST"))[1]

    def test_is_an_attribute_alone_where_the_person_can_help_themselves(self, answered):
        assert "id-77" not in str(answered(404, {"requestId": "id-77"}))


class TestBody:
    def test_repeats_no_secret_that_was_sent(self, answered):
        secret = "opaque-0123456789"
        body = regular(
            violation(secret, secret, secret), message=f"bad {secret}", requestId=f"a {secret}", traceId=secret
        )
        for status in (400, 401, 403, 404, 406, 409, 429, 500):
            error = answered(status, body, headers={"X_Request_Id": secret}, secrets=[Secret(secret)])
            assert secret not in str(error) + repr(vars(error)) + "".join(sent_in("de", error))

    def test_repeats_no_secret_that_is_cut_in_two_by_the_limit(self, answered):
        secret = "opaque-0123456789"
        error = answered(500, {"message": "x" * 190 + secret}, secrets=[Secret(secret)])
        assert "opaque" not in str(error)

    @pytest.mark.parametrize("said", ["Bearer abc.def-123", "access_token=abc.def-123", "Authorization: abc.def-123"])
    def test_repeats_nothing_that_looks_like_a_credential(self, answered, said):
        assert "abc.def-123" not in str(answered(500, {"message": f"cannot use {said}"}))

    def test_of_a_page_is_not_shown(self, answered):
        error = answered(
            502, b"<html><body>https://evil.example " + b"x" * 10_000, headers={"Content_Type": "text/html"}
        )
        assert "html" not in str(error)
        assert "evil" not in str(error)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("start", [b'{"message":"', b"<html>"])
    def test_of_ten_megabytes_is_an_error_like_others(self, answered, start, stream):
        begun = time.monotonic()
        error = answered(500, start + b"x" * 10_000_000 + b'"}', stream=stream)
        assert time.monotonic() - begun < 5
        assert error.code == "api_server"
        assert len(str(error)) < 300

    def test_that_is_streamed_is_read_no_further_than_a_refusal_is_long(self, raw):
        """The rest never comes: whoever waited for it would meet the time-out."""
        ended = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as endless:

            def serve():
                connection, _ = endless.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 500 x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 2_000_000)
                    ended.wait(20)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                url = f"http://127.0.0.1:{endless.getsockname()[1]}/v1/x"
                begun = time.monotonic()
                error = refusal(requests.get(url, stream=True, timeout=10))
                assert time.monotonic() - begun < 5
                assert (error.code, error.status) == ("api_server", 500)
            finally:
                ended.set()
                thread.join()

    def test_that_is_streamed_is_understood_all_the_same(self, answered):
        assert answered(406, legacy(("missing_entity", "a")), stream=True).issues == (("a", "missing_entity"),)

    def test_that_breaks_off_while_it_is_streamed_is_an_error_by_its_status(self, raw):
        raw.answer = b'HTTP/1.1 409 x\r\nContent-Length: 99\r\n\r\n{"message"'
        with requests.get(raw.url, stream=True, timeout=5) as response:
            assert type(refusal(response)) is errors.Conflict

    @pytest.mark.parametrize(
        "text", ["\x1b[31mred", "\u202eleft", "https://evil.example", "www.evil.example", "\ud800"]
    )
    def test_threat_26_is_shown_harmless_wherever_it_says_something(self, answered, text):
        body = regular(violation(text, text, text), violation("SIZE", text, text), message=text, requestId=text)
        for status in (400, 403, 404, 406, 409, 500, 504):
            error = answered(status, body, f"/v1/x?{'a' * 300}=1", scopes=[text])
            for language in LANGUAGES:
                for line in sent_in(language, error):
                    assert line.isprintable()
                    assert not LINK.search(line)
                    assert len(line) < 700


BAD_INPUT = {
    "unknown filter": (400, regular(message="Unknown request parameter 'colour'"), "/v1/voucherlist?colour=1", "GET"),
    "wrong value": (
        400,
        regular(message="Invalid value '…' received for request parameter 'voucherStatus'"),
        "/v1/voucherlist?voucherStatus=x",
        "GET",
    ),
    "wrong date": (406, regular(message="JSON parse error: date"), "/v1/invoices", "POST"),
    "id that is no UUID": (404, regular(status=404, message="Not Found"), "/v1/invoices/nope", "GET"),
    "id that is no UUID, legacy": (404, legacy(("missing_entity", "id")), "/v1/contacts/nope", "GET"),
    "missing scope": (403, {"message": "Forbidden"}, "/v1/contacts", "GET"),
    "expired key": (401, {"message": "Unauthorized"}, "/v1/profile", "GET"),
    "wrong content": (406, regular(violation("NOTNULL", "voucherDate")), "/v1/invoices", "POST"),
    "wrong content, legacy": (406, legacy(("invalid_email", "emailAddresses.business")), "/v1/contacts", "POST"),
    "wrong content, odd": (400, {"i18nKey": "bad_request_error", "source": "Required …"}, "/v1/files", "POST"),
    "wrong kind of content": (415, b"", "/v1/invoices", "POST"),
}


@pytest.mark.parametrize("language", LANGUAGES)
class TestBadInput:
    @pytest.mark.parametrize("case", BAD_INPUT)
    def test_is_answered_in_two_lines_without_a_secret(self, elsewhere, server, answer, case, language):
        status, body, path, method = BAD_INPUT[case]
        token = elsewhere.tokens.access_token.reveal()
        made = answer(status, body) if isinstance(body, bytes) else answer.of(body, status)
        server.answers[path.partition("?")[0]] = [made]
        with pytest.raises(errors.ApiError) as caught:
            elsewhere.request(method, path, json={"note": "of-the-body"} if method == "POST" else None)
        first, second = sent_in(language, caught.value)
        assert first.startswith(f"{type(caught.value).__name__}: ")
        assert second.startswith("→ ")
        for line in (first, second):
            assert "\n" not in line
            assert token not in line
            assert "of-the-body" not in line

    def test_of_an_ended_key_is_answered_in_two_lines_without_it(self, box, language):
        key = box.make_api_key()
        with LexofficeSession.from_api_key(key, Provider.discover(box.url)) as session:
            box.revoke_everything()
            with pytest.raises(errors.Unauthorized) as caught:
                session.get("/v1/profile")
        lines = sent_in(language, caught.value)
        assert len(lines) == 2
        assert "public-api" in lines[1]
        assert str(getattr(key, "reveal", lambda: key)()) not in "".join(lines)

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/invoices/nope",
            "/v1/contacts/nope",
            "/v1/voucherlist",
            "/v1/voucherlist?voucherType=any&voucherStatus=any&voucherDateFrom=31.12.2025",
            "/v1/voucherlist?voucherType=dunning&voucherStatus=any",
        ],
    )
    def test_is_answered_in_two_lines_by_the_sandbox_too(self, session, path, language):
        with pytest.raises(errors.ApiError) as caught:
            session.get(path)
        assert len(sent_in(language, caught.value)) == 2
        assert session.tokens.access_token.reveal() not in "".join(caught.value._render_traceback_())
