"""Whatever a server answers, it is an `ApiError`, or a response whose `.json()` gives a value or an `ApiError`."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import zlib
from decimal import Decimal

import pytest
import requests
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from lexoffice_nb import LexofficeSession, Provider, errors
from lexoffice_nb.api.refusals import refusal, trouble
from lexoffice_nb.texts import LANGUAGES, use_language
from tests.api.raw_server import RawServer

# No method that only reads: such a request may be sent again, which here would only take time.
METHODS = st.sampled_from(["POST", "PUT", "PATCH", "DELETE"])
LINK = re.compile(r"://|www\.", re.IGNORECASE)
LONGEST_LINE = 900

ANY_TEXT = st.text(max_size=30)
# Lone surrogates too, which JSON can write and UTF-8 cannot.
HOSTILE_TEXT = st.one_of(
    ANY_TEXT,
    st.text(st.characters(categories=("Cs", "Cc", "Cf", "Zl")), max_size=5),
    st.sampled_from(
        ["\x1b[31m", "\u202e", "https://evil.example", "www.evil.example", "{", "{0}", "{said}", "x" * 9999]
    ),
)
NAMES = st.sampled_from(
    ["message", "error", "details", "IssueList", "i18nKey", "source", "field", "violation", "requestId", "traceId"]
)
CODES = st.sampled_from(
    ["NOTNULL", "SIZE", "missing_entity", "invalid_taxrate_19", "technical_error", "bad_request_error", "version"]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), HOSTILE_TEXT, CODES, st.integers(10**15, 10**40)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, HOSTILE_TEXT), inner, max_size=6)
    ),
    max_leaves=12,
)
JSON = VALUES.map(lambda value: json.dumps(value).encode())
BODIES = st.one_of(
    JSON,
    st.binary(max_size=200),
    st.sampled_from(
        [
            *(b"", b"null", b"<html><h1>502</h1></html>", b'"\\ud800"', b"\xff\xfe{\x00", b"\xef\xbb\xbf{}"),
            *(b"[" * 100_000, b'{"message":' * 20_000, b'{"details":' + b"[" * 900 + b"]" * 900 + b"}"),
            *(b'{"message":' + b"9" * 5000 + b"}", b'{"a":1e999999999}', b'{"a":1234567890123456.5}', b"NaN"),
            *(b'{"message":"a","message":["b"]}', b'{"details":[{"field":{"a":1},"violation":[2]}]}'),
            b'{"message":"' + b"x" * 3_000_000 + b'"}',
        ]
    ),
)
ENCODED = st.one_of(
    st.tuples(st.just(b""), BODIES),
    st.tuples(st.just(b"Content-Encoding: gzip\r\n"), BODIES.map(gzip.compress)),
    st.tuples(st.just(b"Content-Encoding: deflate\r\n"), BODIES.map(zlib.compress)),
    st.tuples(
        st.sampled_from([b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip, gzip", b"x", b",", b"gzip," * 20]).map(
            lambda name: b"Content-Encoding: " + name + b"\r\n"
        ),
        BODIES,
    ),
)
HEADER_NAMES = st.one_of(
    st.sampled_from(
        [
            *(b"Content-Type", b"Content-Length", b"Transfer-Encoding", b"Location", b"Set-Cookie", b"Retry-After"),
            *(b"X-Request-Id", b"x-amzn-RequestId", b"WWW-Authenticate", b"Connection", b"Link", b"Date"),
        ]
    ),
    st.binary(min_size=1, max_size=10),
)
HEADER_VALUES = st.one_of(
    st.sampled_from(
        [
            *(
                b"application/json; charset=no-such",
                b"text/html; charset=utf-7",
                b"chunked",
                b"-1",
                b"9999999999999999999",
            ),
            *(b"/x", b"//", b"http://[", b"http://[::1", b"\xff\xfe", b"http://\xe4:99999/", b"?%ff", b"data:x"),
            *(b"a=b; Expires=x; Max-Age=9e9", b"1e400", b"Thu, 99 Foo 9999", b"inf", b'Basic realm="\\', b"\x1b[31m"),
        ]
    ),
    st.binary(max_size=20),
)
HEADERS = st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=4).map(
    lambda pairs: b"".join(name + b": " + value + b"\r\n" for name, value in pairs)
)
REASONS = st.one_of(st.just(b"Said"), st.binary(max_size=20).map(lambda said: said.replace(b"\n", b" ")))
# Without 429, after which a session waits longer each time.
STATUSES = st.one_of(
    st.integers(100, 428), st.integers(430, 599), st.sampled_from([400, 401, 402, 403, 404, 406, 409, 415, 500, 503])
)
WELL_FORMED = st.builds(
    lambda status, reason, headers, encoded: b"HTTP/1.1 %d %s\r\n%s%s\r\n%s" % (status, reason, headers, *encoded),
    STATUSES,
    REASONS,
    HEADERS,
    ENCODED,
)
ANSWERS = st.one_of(
    *[WELL_FORMED] * 4,
    st.builds(lambda answer, cut: answer[:cut], WELL_FORMED, st.integers(0, 200)),
    st.binary(max_size=100),
    st.binary(max_size=50).map(lambda noise: b"HTTP/1.1 " + noise),
)


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(scope="module")
def fuzzed(quiet_box, raw):
    """A session that no 401 renews, whose API is the server that answers with any bytes."""
    provider = Provider.discover(quiet_box.url, name="sandbox")
    with LexofficeSession.from_api_key(quiet_box.make_api_key(), provider) as session:
        session._point_to(session._source, raw.url)
        yield session


def exact(value):
    """Tells whether no number of a JSON value is a binary fraction."""
    if isinstance(value, dict):
        return all(exact(each) for each in value.values())
    if isinstance(value, list):
        return all(exact(each) for each in value)
    return value is None or isinstance(value, (str, bool, Decimal))


def check(session, raw, method, answer):
    raw.answer = answer
    try:
        response = session.request(method, "/v1/x?a=b", json={"note": "body-of-the-request"}, timeout=5)
        assert response.status_code < 400
        shown = response._repr_html_()
        assert shown is None or isinstance(shown, str)
        assert exact(response.json())
    except errors.ApiError as error:
        check_words(error)


def check_words(error):
    for language in LANGUAGES:
        use_language(language)
        lines = error._render_traceback_()
        assert len(lines) == 2
        for line in lines:
            assert line.isprintable(), line
            assert not LINK.search(line), line
            assert len(line) < LONGEST_LINE, line
            assert "body-of-the-request" not in line
    assert error.request_id is None or (error.request_id.isprintable() and len(error.request_id) <= 60)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def any_answer(examples):
    def decorate(test):
        test = given(method=METHODS, answer=ANSWERS)(test)
        for body in (
            b"HTTP/1.1 400 x\r\n\r\n" + b'{"message":' * 20_000,
            b"HTTP/1.1 406 x\r\n\r\n" + b'{"details":[{"field":"\\ud800","violation":"\\udfff"}]}',
            b"HTTP/1.1 200 x\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08garbage",
            b"HTTP/1.1 500 x\r\nContent-Type: text/html; charset=\xff\r\n\r\n\xff",
            b"HTTP/1.1 200 x\r\nContent-Length: abc\r\n\r\n{}",
            b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
            b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}",
            b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}",
            b"HTTP/1.1 302 x\r\nLocation: http://[\r\n\r\n",
            b"HTTP/1.1 302 x\r\nLocation: \xff\xfe\r\n\r\n",
        ):
            test = example(method="POST", answer=body)(test)
        return settings(
            max_examples=examples,
            deadline=None,
            derandomize=examples < 1000,
            database=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(test)

    return decorate


@any_answer(200)
def test_any_answer_is_an_api_error_or_a_response_that_is_read_or_refused(fuzzed, raw, method, answer):
    check(fuzzed, raw, method, answer)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@any_answer(10_000)
def test_any_of_many_answers_is_an_api_error_or_a_response_that_is_read_or_refused(fuzzed, raw, method, answer):
    check(fuzzed, raw, method, answer)


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(status=st.sampled_from([429, 400, 403, 406, 500]), stream=st.booleans(), headers=HEADERS, encoded=ENCODED)
@example(status=500, stream=True, headers=b"Transfer-Encoding: chunked\r\n", encoded=(b"", b"-5\r\n{}"))
def test_any_refusal_is_one_error_also_where_the_body_is_still_to_be_read(raw, status, stream, headers, encoded):
    raw.answer = b"HTTP/1.1 %d x\r\n%s%s\r\n%s" % (status, headers, *encoded)
    try:
        response = requests.post(raw.url, timeout=5, stream=stream, allow_redirects=False)
    except (requests.exceptions.RequestException, ValueError) as error:  # not yet one of ours
        check_words(trouble(error, raw.url, "POST"))
    else:
        check_words(refusal(response))
        response.close()
