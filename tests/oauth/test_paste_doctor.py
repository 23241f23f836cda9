"""What is pasted: put right where something stands around the URL, and explained where something of it is missing."""

from __future__ import annotations

import quopri
import re
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lexoffice_nb.errors import CallbackError, LoginError, StateMismatch
from lexoffice_nb.oauth.callback import LIMIT, Expected, clean, ends_attempt, read_callback, state_of
from lexoffice_nb.oauth.pasted_url import CUT_LENGTHS
from tests.oauth.misbehaving import REDIRECT_URI
from tests.oauth.signing_in import attempt_at, parameters_of, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oauth.conftest import StartProvider

STATE = "s8Kq-Zt_4vWb2xYc7Rd1Lf6Mg9Nh3Pj5Qk0Ts-Uv_Xw"
ISSUER = "https://login.example"
CODE = "c0de.with-all_of~them"
URL = f"{REDIRECT_URI}?{urlencode({'code': CODE, 'state': STATE, 'iss': ISSUER})}"
EXPECTED = Expected(REDIRECT_URI, f"{ISSUER}/authorize", STATE, ISSUER, iss_required=True)
WITHOUT_ISS = replace(EXPECTED, issuer=None, iss_required=False)
CAUGHT = replace(EXPECTED, caught=True)
CUT_REMEDY = (
    "Copy it again and paste it into the card instead of the terminal; "
    "with a browser on this machine the notebook catches it by itself."
)
CSRF = "Invalid state parameter – possible CSRF attack"
STEADY = settings(
    deadline=None, derandomize=True, database=None, max_examples=300, suppress_health_check=list(HealthCheck)
)


def doctored(pasted: str, expected: Expected, kind: type[LoginError], code: str, remedy: str) -> LoginError:
    """Asserts that it is refused for this very reason and with this remedy, and leaves the attempt open."""
    error = refused(kind, "callback", code, lambda: read_callback(pasted, expected))
    assert error.remedy == remedy
    assert isinstance(error, CallbackError)
    assert not ends_attempt(error)
    for secret in (STATE, CODE):
        assert secret not in f"{error} {error!r} {error.what('de')} {error.next('de')}"
    return error


def of_length(length: int, **parameters: str) -> str:
    """A callback whose code is as long as it takes for the text to have this length."""
    short = f"{REDIRECT_URI}?{urlencode(parameters)}"
    return short.replace("code=", "code=" + "c" * (length - len(short)), 1)


def cut_in(length: int, at: str, after: str) -> str:
    """A callback in which `at` comes last, cut off right behind `after`, at this length."""
    order = {"state": ("code", "state"), "iss": ("code", "state", "iss"), "code": ("state", "code")}[at]
    values = {"code": "", "state": STATE, "iss": ISSUER}
    whole = f"{REDIRECT_URI}?{urlencode({name: values[name] for name in order})}"
    short = whole[: whole.index(f"{at}=")] + after
    return short.replace("code=", "code=" + "c" * (length - len(short)), 1)


# --- cleaning ---

WRAPPERS: dict[str, Callable[[str], str]] = {
    "a_bracketed_paste": lambda u: f"\x1b[200~{u}\x1b[201~",
    "a_bracketed_paste_with_the_one_byte_escape": lambda u: f"\x9b200~{u}\x9b201~",
    "a_bracketed_paste_without_its_escape": lambda u: f"[200~{u}[201~",
    "a_bracketed_paste_with_its_escape_written_out": lambda u: f"^[[200~{u}^[[201~",
    "a_bracketed_paste_half_eaten": lambda u: f"00~{u}01~",
    "a_bracketed_paste_nearly_eaten": lambda u: f"0~{u}1~",
    "the_end_of_a_bracketed_paste_alone": lambda u: f"{u}[201~",
    "colours": lambda u: f"\x1b[4;34m{u}\x1b[0m",
    "double_quotes": lambda u: f'"{u}"',
    "single_quotes": lambda u: f"'{u}'",
    "backticks": lambda u: f"```{u}```",
    "german_quotes": lambda u: f"„{u}“",
    "german_single_quotes": lambda u: f"‚{u}‘",
    "english_quotes": lambda u: f"“{u}”",
    "english_single_quotes": lambda u: f"‘{u}’",
    "guillemets": lambda u: f"»{u}«",
    "french_guillemets": lambda u: f"«\u00a0{u}\u00a0»",
    "single_guillemets": lambda u: f"‹{u}›",
    "angle_brackets": lambda u: f"<{u}>",
    "round_brackets_and_a_full_stop": lambda u: f"({u}).",
    "square_brackets": lambda u: f"[{u}]",
    "curly_brackets": lambda u: f"{{{u}}}",
    "bold": lambda u: f"**{u}**",
    "italic": lambda u: f"_{u}_",
    "the_url_of_the_rfc": lambda u: f"<URL:{u}>",
    "the_word_url": lambda u: f"url: {u}",
    "the_header_location": lambda u: f"Location: {u}\r\n",
    "the_header_as_curl_shows_it": lambda u: f"< Location: {u}",
    "the_source_view": lambda u: f"view-source:{u}",
    "markdown": lambda u: f"[the page]({u})",
    "markdown_with_an_address_as_its_text": lambda u: f"[{REDIRECT_URI}]({u}),",
    "markdown_in_angle_brackets": lambda u: f"[page](<{u}>).",
    "a_comma": lambda u: f"{u},",
    "a_semicolon": lambda u: f"{u};",
    "line_breaks": lambda u: "\n".join(textwrap.wrap(u, 40, break_on_hyphens=False)),
    "indented_line_breaks": lambda u: "\r\n\t  ".join(u[i : i + 33] for i in range(0, len(u), 33)),
    "old_line_breaks": lambda u: "\r".join(u[i : i + 50] for i in range(0, len(u), 50)),
    "marks_of_a_quotation": lambda u: "\n".join("> " + u[i : i + 60] for i in range(0, len(u), 60)),
    "marks_of_a_quotation_of_a_quotation": lambda u: "\r\n".join(" >> " + u[i : i + 60] for i in range(0, len(u), 60)),
    "a_byte_order_mark": lambda u: "\ufeff" + u,
    "zero_widths": lambda u: "\u200b".join(u) + "\u200d\u2060",
    "soft_hyphens": lambda u: u.replace("/", "/\u00ad"),
    "direction_marks": lambda u: f"\u2066\u200e{u}\u2069",
    "fillers": lambda u: f"\u3164\u2800{u}\ufe0f\u034f",
    "blanks": lambda u: f" \t\u00a0\u3000{u}\u2028 ",
}  # fmt: skip
# These change more than what stands around, so they come first, next to the URL.
REWRITTEN: dict[str, Callable[[str], str]] = {
    "html": lambda u: u.replace("&", "&amp;"),
    "html_of_html": lambda u: u.replace("&", "&amp;amp;"),
    "html_by_number": lambda u: u.replace("&", "&#38;"),
    "html_by_hexadecimal_number": lambda u: u.replace("&", "&#x26;"),
    "percent_encoding": lambda u: quote(u, safe=""),
    "percent_encoding_but_for_slashes": quote,
    "percent_encoding_twice": lambda u: quote(quote(u, safe=""), safe=""),
    "quoted_printable": lambda u: quopri.encodestring(u.encode()).decode(),
    "quoted_printable_with_its_own_line_ends": lambda u: quopri.encodestring(u.encode()).decode().replace("\n", "\r\n"),
    "quoted_printable_in_a_quotation": lambda u: textwrap.indent(quopri.encodestring(u.encode()).decode(), "> "),
}
CODE_LAST = f"{REDIRECT_URI}?{urlencode({'iss': ISSUER, 'state': STATE, 'code': CODE})}"
GOOD_URLS = {
    "iss_last": URL,
    "code_last": CODE_LAST,
    "a_code_with_a_full_stop_at_its_end": CODE_LAST + ".",
    "a_code_with_all_that_encoders_leave": CODE_LAST + ")!*'~_-.",
    "state_last": f"{REDIRECT_URI}?{urlencode({'code': CODE, 'state': STATE + '_'})}",
    "a_state_that_begins_like_quoted_printable": f"{REDIRECT_URI}?code=abc&state=3D{STATE}",
    "a_code_that_ends_like_one_that_is_padded": f"{REDIRECT_URI}?state={STATE}&code=abc==",
    "a_code_with_an_address": f"{REDIRECT_URI}?{urlencode({'code': 'http://x/?a=b&amp;c', 'state': STATE})}",
}


@pytest.mark.parametrize("wrap", {**WRAPPERS, **REWRITTEN}.values(), ids={**WRAPPERS, **REWRITTEN})
@pytest.mark.parametrize("url", GOOD_URLS.values(), ids=GOOD_URLS)
def test_a_good_url_comes_back_out_of(url: str, wrap: Callable[[str], str]) -> None:
    assert wrap(url) != url
    assert clean(wrap(url)) == url
    assert state_of(wrap(url)) == parameters_of(url)["state"]


@pytest.mark.parametrize("url", GOOD_URLS.values(), ids=GOOD_URLS)
def test_a_good_url_stays_as_it_is(url: str) -> None:
    assert clean(url) == url


@pytest.mark.parametrize("end", [".", "...", ").", "!", "'", ":", "*"])
def test_the_end_of_a_sentence_goes_where_it_cannot_be_of_a_code(end: str) -> None:
    assert clean(URL + end) == URL
    assert read_callback(URL + end, EXPECTED).reveal() == CODE


@pytest.mark.parametrize("end", [".", "...", ")", "!", "'", "*"])
def test_the_end_of_a_sentence_stays_where_it_may_be_of_a_code(end: str) -> None:
    assert read_callback(CODE_LAST + end, EXPECTED).reveal() == CODE + end


VALUE = st.text("abcXYZ0123456789-._~", min_size=1, max_size=40) | st.text(
    st.characters(exclude_categories=("C",)), min_size=1, max_size=20
)
# As it happens: people and programs put something around, mail breaks lines, and the terminal comes last.
IN_LINES = [name for name in WRAPPERS if name.endswith("line_breaks") or name.startswith(("marks_of", "zero"))]
IN_TERMINALS = [name for name in WRAPPERS if name == "colours" or "bracketed_paste" in name]
AROUND = [name for name in WRAPPERS if name not in (*IN_LINES, *IN_TERMINALS)]


@STEADY
@given(
    code=VALUE,
    state=st.text("abcXYZ0123456789-_", min_size=8, max_size=43),
    order=st.permutations(["code", "state", "iss"]),
    rewrite=st.sampled_from([None, *REWRITTEN]),
    around=st.lists(st.sampled_from(AROUND), max_size=5),
    lines=st.sampled_from([None, *IN_LINES]),
    terminal=st.sampled_from([None, *IN_TERMINALS]),
)
@example(
    code="=",
    state="aaaaaaaa",
    order=["iss", "state", "code"],
    rewrite="quoted_printable",
    around=[],
    lines=None,
    terminal=None,
)
def test_a_good_url_comes_back_out_of_any_wrappers(
    code: str,
    state: str,
    order: list[str],
    rewrite: str | None,
    around: list[str],
    lines: str | None,
    terminal: str | None,
) -> None:
    values = {"code": code, "state": state, "iss": ISSUER}
    url = f"{REDIRECT_URI}?{urlencode([(name, values[name]) for name in order])}"
    assume(not url.endswith("_"))  # emphasis with `_` around that is ambiguous to any reader
    text = REWRITTEN[rewrite](url) if rewrite else url
    assume(not (lines and rewrite and "quoted" in rewrite))  # the lines of that encoding are its own
    for name in [*around, *filter(None, (lines, terminal))]:
        text = WRAPPERS[name](text)
    assert clean(text) == url
    assert state_of(text) == state


@STEADY
@given(
    st.one_of(
        st.text(st.characters(exclude_categories=())),
        st.text("[]()<>\"'`*_~%=3Dhtp:/&amp;?. \n\r\x1b012^url", max_size=80),
    )
)
@example("\ud800")
@example("http://[")
@example("[" * 500)
def test_cleaning_any_text_never_raises(text: str) -> None:
    assert len(clean(text)) <= len(text)
    assert isinstance(state_of(text), str)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece", ["[", "(", '"', "<", "*", ">", "=\n", "&amp;", "url:", "0~", "_(", "[](", "http%3A//", "\n ", "%25"]
)
def test_cleaning_is_quick_for_the_longest_text(piece: str) -> None:
    text = piece * (LIMIT // len(piece))
    assert len(clean(text)) <= LIMIT


WRONG = {
    "another_host": URL.replace("127.0.0.1", "evil.example"),
    "another_port": URL.replace("51234", "51235"),
    "another_path": URL.replace("/callback", "/other"),
    "userinfo": URL.replace("127.0.0.1", "me@127.0.0.1"),
    "another_state": URL.replace(STATE, STATE[::-1]),
    "the_state_in_quotes": URL.replace(STATE, f"%22{STATE}%22"),
    "the_state_with_a_full_stop": URL.replace(STATE, STATE + "."),
    "the_state_encoded_twice": URL.replace(STATE, quote(STATE.replace("_", "%5F"))),
    "a_right_url_as_a_parameter": f"http://evil.example/?next={quote(URL, safe='')}",
    "a_right_url_behind_a_wrong_one": f"http://evil.example/ {URL}",
    "an_encoded_url_with_a_parameter_of_another": quote(REDIRECT_URI, safe="") + URL.removeprefix(REDIRECT_URI),
    "a_markdown_link_elsewhere": f"[{URL}](http://evil.example/)",
    "quoted_printable_of_which_one_sign_is_none": URL.replace("state=", "state=3D"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("wrap", [str, *WRAPPERS.values()], ids=["nothing", *WRAPPERS])
def test_a_wrong_url_is_not_made_a_right_one(wrong: str, wrap: Callable[[str], str]) -> None:
    with pytest.raises(CallbackError):
        read_callback(wrap(wrong), EXPECTED)


# --- the state of what was pasted ---


@pytest.mark.parametrize(
    "pasted",
    {
        "nothing": "",
        "words": "I clicked on allow",
        "no_query": REDIRECT_URI,
        "no_state": f"{REDIRECT_URI}?code=a",
        "an_empty_state": f"{REDIRECT_URI}?code=a&state=",
        "a_state_twice": f"{URL}&state={STATE}",
        "a_broken_address": "http://[x/?state=a",
        "too_many_parameters": URL + "&a=1" * 200,
        "too_long": URL + "&a=" + "1" * LIMIT,
        "a_fragment": URL.replace("?", "#"),
    }.values(),
)  # fmt: skip
def test_there_is_no_state_in(pasted: str) -> None:
    assert state_of(pasted) == ""


def test_the_state_is_told_of_an_address_that_leads_elsewhere() -> None:
    assert state_of(URL.replace("51234", "9")) == STATE


# --- cut off ---

LENGTHS = sorted(CUT_LENGTHS)
END_OF_LINE = {"nothing": "", "newline": "\n", "carriage_return": "\r\n"}
CUT: dict[str, tuple[Callable[[int], str], type[LoginError], str]] = {
    "before_the_state": (lambda n: of_length(n, code=""), StateMismatch, "state_cut_off"),
    "in_the_name_of_the_state": (lambda n: cut_in(n, "state", "sta"), StateMismatch, "state_cut_off"),
    "at_the_state": (lambda n: cut_in(n, "state", "state="), StateMismatch, "state_cut_off"),
    "in_the_state": (lambda n: cut_in(n, "state", f"state={STATE[:20]}"), StateMismatch, "state_cut_off"),
    "in_an_escape_of_it": (lambda n: cut_in(n, "state", f"state={STATE[:20]}%5"), StateMismatch, "state_cut_off"),
    "before_the_iss": (lambda n: cut_in(n, "state", f"state={STATE}"), CallbackError, "callback_cut_off"),
    "in_the_name_of_the_iss": (lambda n: cut_in(n, "iss", "is"), CallbackError, "callback_cut_off"),
    "at_the_iss": (lambda n: cut_in(n, "iss", "iss="), CallbackError, "callback_cut_off"),
    "in_the_iss": (lambda n: cut_in(n, "iss", "iss=https%3A%2F%2Flog"), CallbackError, "callback_cut_off"),
    "at_the_sign_of_an_escape": (lambda n: cut_in(n, "iss", "iss=https%"), CallbackError, "callback_cut_off"),
    "in_an_escape": (lambda n: cut_in(n, "iss", "iss=https%3"), CallbackError, "callback_cut_off"),
    "before_code_and_error": (
        lambda n: f"{REDIRECT_URI}?x=".ljust(n - len(f"&state={STATE}"), "x") + f"&state={STATE}",
        CallbackError,
        "callback_cut_off",
    ),
    "before_everything": (lambda n: f"{REDIRECT_URI}?x=".ljust(n, "x"), CallbackError, "callback_cut_off"),
    "in_an_error": (
        lambda n: f"{REDIRECT_URI}?state={STATE}&iss={ISSUER}&x=".ljust(n - 17, "x") + "&error=access_den",
        CallbackError,
        "callback_cut_off",
    ),
}  # fmt: skip


@pytest.mark.parametrize("end", END_OF_LINE.values(), ids=END_OF_LINE)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("make", "kind", "code"), CUT.values(), ids=CUT)
def test_an_address_is_recognised_as_cut_off(
    make: Callable[[int], str], kind: type[LoginError], code: str, length: int, end: str
) -> None:
    pasted = make(length)
    assert len(pasted) == length
    error = doctored(pasted + end, EXPECTED, kind, code, CUT_REMEDY)
    assert str(length) in error.what("en")
    assert str(length) in error.what("de")
    assert str(error).startswith(CSRF) == (kind is StateMismatch)


@pytest.mark.parametrize(("make", "kind", "code"), CUT.values(), ids=CUT)
def test_the_marks_of_a_paste_count_or_do_not(make: Callable[[int], str], kind: type[LoginError], code: str) -> None:
    doctored(f"\x1b[200~{make(4096 - 6)}", EXPECTED, kind, code, CUT_REMEDY)
    doctored(f"\x1b[200~{make(4096)}\x1b[201~\n", EXPECTED, kind, code, CUT_REMEDY)


@pytest.mark.parametrize("length", [1022, 1025, 2048, 4094, 4098])
@pytest.mark.parametrize("name", [name for name in CUT if name not in ("in_the_state", "in_an_escape_of_it")])
def test_at_another_length_nothing_tells_that_it_was_cut(name: str, length: int) -> None:
    with pytest.raises(CallbackError) as caught:
        read_callback(CUT[name][0](length), EXPECTED)
    assert "cut_off" not in caught.value.code


@pytest.mark.parametrize("name", CUT)
def test_what_the_browser_brings_was_never_cut(name: str) -> None:
    with pytest.raises(CallbackError) as caught:
        read_callback(CUT[name][0](4096), CAUGHT)
    assert "cut_off" not in caught.value.code


@pytest.mark.parametrize("kept", [1, 20, len(STATE) - 1])
def test_a_part_of_the_state_at_the_very_end_is_a_cut_at_any_length(kept: int) -> None:
    pasted = f"{REDIRECT_URI}?code={CODE}&state={STATE[:kept]}"
    error = doctored(pasted, EXPECTED, StateMismatch, "state_cut_off", CUT_REMEDY)
    assert f"after {len(pasted)} characters" in str(error)


@pytest.mark.parametrize(
    "pasted",
    {
        "not_at_the_end": f"{REDIRECT_URI}?code=a&state={STATE[:-1]}&iss={quote(ISSUER)}",
        "before_a_fragment": f"{REDIRECT_URI}?code=a&state={STATE[:-1]}#_=_",
        "of_another_state": f"{REDIRECT_URI}?code=a&state={STATE[1:]}",
        "longer_than_the_state": f"{REDIRECT_URI}?code=a&state={STATE}x",
    }.values(),
)
def test_another_part_of_a_state_is_none_of_ours(pasted: str) -> None:
    remedy = (
        "Close older tabs and use the newest login link. If you did not start a sign-in yourself, ignore that page."
    )
    doctored(pasted, EXPECTED, StateMismatch, "state_mismatch", remedy)


def test_who_guesses_a_state_at_the_loopback_is_not_told_how_much_was_right() -> None:
    codes = set()
    for state in (STATE[:20], "x" * 20):
        with pytest.raises(StateMismatch) as caught:
            read_callback(f"{REDIRECT_URI}?code=a&state={state}", CAUGHT)
        codes.add(str(caught.value))
    assert len(codes) == 1


ONCE_MORE = (
    "Paste it once more if it is complete. If not, paste it into the card instead of the terminal, "
    "or let the notebook catch it (browser on this machine)."
)


@pytest.mark.parametrize("end", END_OF_LINE.values(), ids=END_OF_LINE)
@pytest.mark.parametrize("length", LENGTHS)
def test_a_code_at_the_end_of_an_address_of_such_a_length_is_doubted_once(length: int, end: str) -> None:
    pasted = of_length(length, state=STATE, iss=ISSUER, code="")
    assert len(pasted) == length
    doctored(pasted + end, EXPECTED, CallbackError, "callback_cut_off_code", ONCE_MORE)
    assert set(read_callback(pasted + end, CAUGHT).reveal()) == {"c"}


@pytest.mark.parametrize("dangling", ["%", "%4"])
def test_a_code_that_ends_within_an_escape_is_no_whole_one(dangling: str) -> None:
    pasted = of_length(1024 - len(dangling), state=STATE, iss=ISSUER, code="") + dangling
    doctored(pasted, EXPECTED, CallbackError, "callback_cut_off", CUT_REMEDY)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    ("expected", "order"),
    [
        (EXPECTED, ("code", "state", "iss")),
        (EXPECTED, ("iss", "code", "state")),
        (WITHOUT_ISS, ("code", "state")),
        (WITHOUT_ISS, ("state", "code", "session_state")),
    ],
    ids=["iss", "state", "state_alone", "another_one"],
)
def test_a_whole_parameter_behind_the_code_shows_that_it_is_whole(
    expected: Expected, order: tuple[str, ...], length: int
) -> None:
    values = {"code": "", "state": STATE, "iss": ISSUER, "session_state": "x"}
    pasted = of_length(length, **{name: values[name] for name in order})
    assert len(pasted) == length
    assert read_callback(pasted, expected).reveal() == parameters_of(pasted)["code"]


def test_a_fragment_behind_the_code_shows_that_it_is_whole() -> None:
    pasted = of_length(1021, state=STATE, iss=ISSUER, code="") + "#_="
    assert len(pasted) == 1024
    assert read_callback(pasted, EXPECTED).reveal()


@pytest.mark.parametrize("length", LENGTHS)
def test_what_no_cut_explains_keeps_its_reason(length: int) -> None:
    rest = {"state": STATE, "iss": ISSUER}
    for pasted, code in (
        (of_length(length, code="", state=STATE, iss="https://evil.example"), "iss_differs"),
        (of_length(length, code="", state="x" * 43, iss=ISSUER), "state_mismatch"),
        (of_length(length, code="", error="server_error", **rest), "callback_code_and_error"),
        (f"{REDIRECT_URI}?{urlencode({**rest, 'error': 'access_denied'})}&x=".ljust(length, "x"), "access_denied"),
    ):
        assert len(pasted) == length
        with pytest.raises(CallbackError) as caught:
            read_callback(pasted, EXPECTED)
        assert caught.value.code == code


def test_a_cut_callback_leaves_the_attempt_open_and_the_whole_one_is_taken(start: StartProvider) -> None:
    server = start()
    attempt = attempt_at(server)
    whole = server.authorize(attempt.get_login_url())
    state = parameters_of(whole)["state"]
    for cut in (whole[: whole.index(state) + 10], whole[: whole.index("&iss=")].replace("code=", "code=" + "c" * 4096)):
        # The second is the right one at a length where terminals cut.
        pasted = cut if len(cut) < 1000 else cut.replace("c" * (len(cut) - 4096), "", 1)
        with pytest.raises(CallbackError) as caught:
            attempt.handle_callback(pasted)
        assert caught.value.code in ("state_cut_off", "callback_cut_off")
        assert attempt.open
    assert server.token_requests == 0
    assert attempt.handle_callback(whole).claims["sub"] == "person-1"


# --- the callback of another provider ---

STRANGER_REMEDY = (
    "Use the newest login link and paste the address that it ends at. "
    "If you did not start a sign-in yourself, ignore that page."
)


@pytest.mark.parametrize(
    ("iss", "named"),
    [
        ("https://accounts.other.example/tenant", "accounts.other.example"),
        ("https://login.example/other-tenant", "https[:]//login.example/other-tenant"),
        ("http://login.example", "http[:]//login.example"),
    ],
)
def test_a_callback_of_another_provider_is_named(iss: str, named: str) -> None:
    pasted = f"{REDIRECT_URI}?{urlencode({'code': 'a', 'state': 'x' * 43, 'iss': iss})}"
    error = doctored(pasted, EXPECTED, StateMismatch, "state_other_provider", STRANGER_REMEDY)
    assert str(error).startswith(f"{CSRF}: the answer comes from {named}, ")
    assert named in error.what("de")


@pytest.mark.parametrize("iss", [ISSUER, "", "nobody", "https://", "http://["])
def test_where_no_other_provider_is_named_the_state_is_what_is_wrong(iss: str) -> None:
    pasted = f"{REDIRECT_URI}?{urlencode({'code': 'a', 'state': 'x' * 43, 'iss': iss})}"
    with pytest.raises(StateMismatch) as caught:
        read_callback(pasted, EXPECTED)
    assert caught.value.code == "state_mismatch"


def test_a_host_that_another_provider_names_is_made_harmless() -> None:
    iss = "https://www.evil.example\u202e" + "x" * 300
    pasted = f"{REDIRECT_URI}?{urlencode({'code': 'a', 'state': 'x' * 43, 'iss': iss})}"
    error = doctored(pasted, EXPECTED, StateMismatch, "state_other_provider", STRANGER_REMEDY)
    assert not re.search("www\\.|://|\u202e|x{80}", error.what("en"))


def test_what_an_attempt_expects_does_not_show_its_state() -> None:
    assert STATE not in repr(EXPECTED)
