"""The filter of the log: no secret gets through, no record is lost, and all of it can be taken away again."""

from __future__ import annotations

import base64
import io
import json
import logging
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexoffice_nb.log import HIDDEN, OTHERS, Redacting, log, redact_others, redacted, stop_redacting
from lexoffice_nb.oauth.tokens import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "SplxlOBeZQQYbYS6WxSbIA"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwZXJzb24tMSJ9.c2lnbmF0dXJl"
NAMES = (
    *("code", "state", "nonce", "code_verifier", "access_token", "refresh_token", "id_token", "token", "id_token_hint"),
    *("client_secret", "client_assertion", "api_key", "apiKey", "X-Api-Key", "password", "accessToken", "device_code"),
)


@pytest.fixture(autouse=True)
def _others_as_ever() -> Iterator[None]:
    stop_redacting()
    yield
    stop_redacting()


def record(message: object, *args: Any, **attributes: Any) -> logging.LogRecord:
    made = logging.LogRecord("other", logging.DEBUG, __file__, 1, message, args, None)
    vars(made).update(attributes)
    return made


def seen(made: logging.LogRecord) -> str:
    """All that a handler can see of a record once it went through the filter."""
    assert Redacting().filter(made) is True
    return logging.Formatter("%(message)s").format(made) + repr(vars(made))


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    """What a person's handler at the root writes, at DEBUG."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


# --- what is found ----------------------------------------------------------------------------------------------------


def in_query(name: str, secret: str) -> str:
    return f"GET /callback?a=1&{urlencode({name: secret, 'iss': 'x'})} HTTP/1.1"


def in_url(name: str, secret: str) -> str:
    return f"https://x.example/cb?{name}={quote(secret, safe='')}#_=_"


def in_nested_url(name: str, secret: str) -> str:
    return f"/login?next={quote(in_url(name, secret), safe='')}"


def in_twice_nested_url(name: str, secret: str) -> str:
    return f"/login?next={quote(in_nested_url(name, secret), safe='')}"


def in_form_of_a_dump(name: str, secret: str) -> str:
    body = urlencode({"grant_type": "authorization_code", name: secret, "client_id": "x"})
    return "send: " + repr(f"POST /token HTTP/1.1\r\nHost: x\r\n\r\n{body}".encode())


def first_in_form_of_a_dump(name: str, secret: str) -> str:
    return "send: " + repr(f"POST /token HTTP/1.1\r\nHost: x\r\n\r\n{urlencode({name: secret})}".encode())


def in_json(name: str, secret: str) -> str:
    return json.dumps({"response_type": "code", name: secret, "expires_in": 3600})


def in_compact_json(name: str, secret: str) -> str:
    return json.dumps({"code": 7, name: secret, "x": [name]}, separators=(",", ":"))


def in_json_in_json(name: str, secret: str) -> str:
    return json.dumps({"body": in_json(name, secret)})


def in_json_in_repr(name: str, secret: str) -> str:
    return repr({"body": in_json(name, secret).encode()})


def in_dict(name: str, secret: str) -> str:
    return f"token { ({'grant_type': 'authorization_code', name: secret, 'x': None})!r} to <Client>"


def in_bytes_dict(name: str, secret: str) -> str:
    return repr({name.encode(): secret.encode()})


def in_lists(name: str, secret: str) -> str:
    return repr({name: ["first", secret], "x": ["code", "state"]})


def in_pairs(name: str, secret: str) -> str:
    return repr([("response_type", "code"), (name, secret)])


def in_call(name: str, secret: str) -> str:
    return f"Form(code=1,{name.replace('-', '_')}={secret!r}, x=1)"


def in_sentence(name: str, secret: str) -> str:
    return f"Using {name}: {secret!r}"


def in_page(name: str, secret: str) -> str:
    return f'<input type="hidden" name="{name}" value="{quote(secret)}">'


PARAMETERS = (
    *(in_query, in_url, in_nested_url, in_twice_nested_url, in_form_of_a_dump, first_in_form_of_a_dump, in_json),
    *(in_compact_json, in_json_in_json, in_json_in_repr, in_dict, in_bytes_dict, in_lists, in_pairs, in_call),
    *(in_sentence, in_page),
)
HEADERS: tuple[Callable[[str], str], ...] = (
    lambda value: f"header: Authorization: {value}",
    lambda value: "send: " + repr(f"GET / HTTP/1.1\r\nAuthorization: {value}\r\nHost: x\r\n\r\n".encode()),
    lambda value: repr({"Accept": "*/*", "Authorization": value}),
    lambda value: repr([(b"authorization", value.encode()), (b"host", b"x")]),
    lambda value: json.dumps({"headers": {"Proxy-Authorization": [value]}}),
    lambda value: f"curl -H 'Authorization: {value}' https://x.example",
    lambda value: f"it sent {value} along",
)


def forms_of(secret: str) -> set[str]:
    """A secret as it may be written: as it is, percent-encoded, as `repr` or JSON has it, in base64."""
    octets = secret.encode()
    return {
        *(secret, quote(secret, safe=""), quote_plus(secret), quote(quote(secret, safe=""), safe="")),
        *(repr(secret)[1:-1], json.dumps(secret)[1:-1], base64.b64encode(octets).decode()),
        base64.urlsafe_b64encode(octets).decode().rstrip("="),
    }


@given(
    secret=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=80),
    name=st.sampled_from(NAMES),
    shape=st.sampled_from(PARAMETERS),
)
@settings(max_examples=200, deadline=None)
def test_no_secret_survives_as_the_value_of_a_parameter(secret: str, name: str, shape: Callable[..., str]) -> None:
    text = shape(name, secret)
    shown = redacted(text)
    assert HIDDEN in shown
    assert not [form for form in forms_of(secret) if form in shown]
    assert seen(record("%s %s", text, name)).count(HIDDEN)
    assert not [form for form in forms_of(secret) if form in seen(record("%s %s", text, name))]


@pytest.mark.parametrize("shape", PARAMETERS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("secret", [SECRET, JWT, "a\"b'c\\d&e=f+g%h,i;j)k]l}THE-END"], ids=["plain", "jwt", "odd"])
def test_each_name_in_each_form_is_hidden(shape: Callable[..., str], name: str, secret: str) -> None:
    shown = redacted(shape(name, secret))
    assert not [form for form in forms_of(secret) if form in shown], shown
    assert "THE-END" not in shown
    assert redacted(shown) == shown


def test_two_names_in_a_row_do_not_hide_the_wrong_one() -> None:
    for text in (
        f"""{{'grant_type': 'authorization_code', 'code': '{SECRET}'}}""",
        f"""['code', 'token': '{SECRET}']""",
        f"""response_types=["code", "token"] token="{SECRET}\"""",
    ):
        assert SECRET not in redacted(text)


@given(
    secret=st.text("abcdefgHIJKLMN0123456789-._~+/", min_size=16, max_size=80),
    padding=st.sampled_from(("", "=", "==")),
    scheme=st.sampled_from(("Bearer", "Basic", "DPoP", "bearer", "BASIC")),
    shape=st.sampled_from(HEADERS),
)
@settings(max_examples=200, deadline=None)
def test_no_secret_survives_in_a_header(secret: str, padding: str, scheme: str, shape: Callable[[str], str]) -> None:
    shown = seen(record(shape(f"{scheme} {secret}{padding}")))
    assert HIDDEN in shown
    assert secret not in shown


def test_cookies_web_tokens_and_the_user_of_a_url_are_hidden() -> None:
    for text in (
        f"header: Set-Cookie: session={SECRET}; HttpOnly",
        "send: " + repr(f"Cookie: a=1; session={SECRET}\r\n".encode()),
        f"proxy http://user:{SECRET}@proxy.example:3128/",
    ):
        assert SECRET not in redacted(text)
    for text in (JWT, f"it was {JWT}.", f"x%3D{JWT}", f"\\n{JWT}", f"{JWT}.AAAA.BBBB"):
        assert not [part for part in JWT.split(".") if part in redacted(text)]


def test_what_is_no_secret_can_be_read() -> None:
    for text in (
        "lexoffice_nb.notebook.terminal_reader.read",
        "GET /v1/voucherlist?page=0&size=250 HTTP/1.1",
        "grant_type=authorization_code&client_id=lexoffice-nb",
        '{"error": "invalid_grant", "token_type": "Bearer", "expires_in": 3600}',
        "[token] POST http://127.0.0.1:1/connect/token with the fields code code_verifier grant_type",
        "status_code=200 and country_code: DE",
        "https://provider.example.com:443/@name",
        repr(Secret(SECRET)),
    ):
        assert redacted(text) == text


def test_time_grows_with_the_text_and_no_faster() -> None:
    for text in (
        "code=",
        "ey",
        "ey.",
        "'code', ",
        "[code=[",
        "code='",
        "\\",
        "code='\\",
        "(' ",
        "Bearer ",
        "://",
        "%25",
    ):
        begun = time.monotonic()
        redacted(text * (200_000 // len(text)))
        assert time.monotonic() - begun < 5, text


# --- records ----------------------------------------------------------------------------------------------------------


class Rude:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError(f"code={SECRET}")

    __str__ = __repr__


ANYTHING = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.floats() | st.builds(Rude),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(NAMES), inner)
        | st.dictionaries(st.binary() | st.integers(), inner)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(message=st.text() | ANYTHING, args=st.lists(ANYTHING, max_size=3), extra=ANYTHING)
@settings(max_examples=200, deadline=None)
def test_any_record_passes_and_nothing_is_raised(message: object, args: list[Any], extra: object) -> None:
    made = record(message, *args, anything=extra)
    assert Redacting().filter(made) is True
    assert isinstance(made.getMessage(), str)
    assert SECRET not in logging.Formatter().format(made)


def test_values_of_secret_names_in_arguments_are_hidden() -> None:
    values = {"code": SECRET, "nested": [{"client_secret": SECRET}], b"token": SECRET.encode()}
    for made in (
        record("%(code)s", {"code": SECRET}),
        record("%(code)s of %(x)s", {"code": SECRET, "x": 1}),
        record("%s %s", values, 1),
        record("%s and %s", values, [values]),
        record("%s", {"a": values}),
        record(values),
        record("%s %s", Secret(SECRET), (Secret(SECRET),)),
    ):
        assert SECRET not in seen(made)
        assert HIDDEN in made.getMessage()


def test_a_message_with_too_few_values_is_kept_and_has_none_of_them() -> None:
    made = record("two %s %s", f"/cb?code={SECRET}")
    assert SECRET not in seen(made)
    assert "two %s %s" in made.getMessage()


def test_tracebacks_stacks_and_further_attributes_are_hidden() -> None:
    try:
        try:
            raise ValueError(f"refused: code={SECRET}")
        except ValueError as inner:
            raise RuntimeError({"refresh_token": SECRET}) from inner
    except RuntimeError:
        made = record("it failed", form={"code": SECRET}, code=SECRET, url=f"/cb?state={SECRET}", number=7)
        made.exc_info = sys.exc_info()
        made.stack_info = f"Stack\n  token = {SECRET!r}"
    text = seen(made)
    assert SECRET not in text
    assert "RuntimeError" in logging.Formatter().format(made)
    assert vars(made)["number"] == 7


def test_every_handler_sees_the_hidden_record(heard: io.StringIO) -> None:
    redact_others()
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    other = logging.getLogger("urllib3.connectionpool")
    other.addHandler(handler)
    try:
        other.debug('"GET %s"', f"/cb?code={SECRET}")
    finally:
        other.removeHandler(handler)
    assert len(records) == 1
    assert SECRET not in repr(vars(records[0])) + heard.getvalue()
    assert f"/cb?code={HIDDEN}" in heard.getvalue()


# --- our own logger ---------------------------------------------------------------------------------------------------


def test_our_own_logger_hides_with_or_without_the_others(heard: io.StringIO) -> None:
    log.debug("one %s", f"code={SECRET}")
    redact_others()
    stop_redacting()
    log.debug("two %s", f"code={SECRET}")
    assert heard.getvalue().splitlines() == [f"lexoffice_nb: {n} code={HIDDEN}" for n in ("one", "two")]


def test_it_prints_nothing_by_itself_and_brings_only_the_standard_library() -> None:
    program = (
        "import sys\nfrom lexoffice_nb.log import log, redact_others\nredact_others()\nlog.error('something')\n"
        "print(sorted(n for n in sys.modules if n.partition('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    modules = set(eval(done.stdout)) - {"__main__"}
    assert {name for name in modules if name.startswith("lexoffice_nb")} == {"lexoffice_nb", "lexoffice_nb.log"}
    assert not modules & {"requests", "urllib3", "authlib", "werkzeug"}


# --- other libraries' loggers -----------------------------------------------------------------------------------------


def filtered() -> set[str]:
    known = logging.Logger.manager.loggerDict.items()
    return {
        name
        for name, logger in known
        if isinstance(logger, logging.Logger) and any(isinstance(f, Redacting) for f in logger.filters)
    }


def test_loggers_below_made_before_and_after_hide_as_well(heard: io.StringIO) -> None:
    for other in OTHERS:
        logging.getLogger(f"{other}.made_before.by.a_test")
    redact_others()
    for other in OTHERS:
        for name in (other, f"{other}.made_before.by.a_test", f"{other}.made_after.by.a_test"):
            logging.getLogger(name).debug("Issue token %r", {"access_token": SECRET})
    lines = heard.getvalue().splitlines()
    assert len(lines) == 3 * len(OTHERS)
    assert SECRET not in heard.getvalue()
    assert all(HIDDEN in line for line in lines)


def test_loggers_of_nobody_that_we_know_are_left_alone(heard: io.StringIO) -> None:
    redact_others()
    for name in ("requestsy.made_by_a_test", "somebody.requests", "http"):
        logging.getLogger(name).debug("code=%s", name)
        assert f"code={name}" in heard.getvalue()
        assert name not in filtered()


def test_stopping_takes_all_of_it_away() -> None:
    manager: Any = logging.Logger.manager
    for _ in range(3):
        redact_others()
        redact_others()
        logging.getLogger("authlib.made_by_a_test")
        assert "authlib.made_by_a_test" in filtered()
        assert len(logging.getLogger("authlib.made_by_a_test").filters) == 1
        stop_redacting()
        stop_redacting()
        assert filtered() == {"lexoffice_nb"}
        assert manager.loggerClass is None
    assert type(logging.getLogger("authlib.made_by_a_test")) is logging.getLoggerClass()


def test_a_maker_of_loggers_that_somebody_set_before_or_after_is_kept() -> None:
    manager: Any = logging.Logger.manager

    class Theirs(logging.Logger):
        pass

    try:
        manager.loggerClass = Theirs
        redact_others()
        assert type(logging.getLogger("urllib3.theirs.before")) is Theirs
        assert "urllib3.theirs.before" in filtered()
        stop_redacting()
        assert manager.loggerClass is Theirs
        manager.loggerClass = None

        redact_others()
        ours = manager.loggerClass
        manager.loggerClass = around = lambda name: ours(name)
        logging.getLogger("urllib3.theirs.after")
        assert "urllib3.theirs.after" in filtered()
        stop_redacting()
        assert manager.loggerClass is around
        redact_others()
        logging.getLogger("urllib3.theirs.again")
        redact_others()
        assert "urllib3.theirs.again" in filtered()
        stop_redacting()
        assert filtered() == {"lexoffice_nb"}
    finally:
        manager.loggerClass = None


def test_asking_again_costs_next_to_nothing() -> None:
    redact_others()
    begun = time.perf_counter()
    for _ in range(10_000):
        redact_others()
    assert time.perf_counter() - begun < 0.5
