"""The X-ray as people see it: diagram, table, page and HAR file, of real sign-ins; names that are markup; files."""

from __future__ import annotations

import json
import pickle
import re
import stat
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from lexoffice_nb.errors import InvalidGrant, StateMismatch, StoreError
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.trace import Hidden, Step
from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import text, use_language
from lexoffice_nb.xray.sequence import ATTRIBUTES, TAGS, WIDTH, Drawing, Message, layout, shortened, svg, wrapped
from lexoffice_nb.xray.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIENT_ID, REDIRECT_URI = "lexoffice-nb", "http://127.0.0.1:51234/callback"
HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;</svg></style><script>alert(2)</script>\x1b[31m\u202e\ud800"
LANES = {"browser": "Browser", "notebook": "Notebook", "lexoffice": "lexoffice", "attacker": "Attacker"}
SVG = "{http://www.w3.org/2000/svg}"
NOW = datetime(2026, 5, 3, 14, 5, 6, tzinfo=UTC)


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NO_PROXY", "*")
    use_language("en")
    yield
    use_language(None)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(data_dir=tmp_path_factory.mktemp("xray")) as box:
        yield box


class Signed:
    """A sign-in with all that was secret in it."""

    def __init__(self, box: Sandbox) -> None:
        provider = Provider.discover(box.url, name="sandbox", source="shipped")
        attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, ["openid", "profile", "offline_access"], provider)
        url = attempt.get_login_url()
        bound = attempt._attempts[-1]
        self.secrets = [bound.state, bound.nonce, bound.verifier.reveal()]
        callback = sign_in(url)
        self.secrets += re.findall(r"[?&]code=([^&]+)", callback)
        attempt.handle_callback(callback)
        self.session = LexofficeSession.from_login(attempt)
        for n in range(2):
            tokens = self.session.tokens
            assert tokens.refresh_token
            self.secrets += [tokens.access_token.reveal(), tokens.refresh_token.reveal()]
            if tokens.id_token:
                self.secrets += [tokens.id_token.reveal(), *tokens.id_token.reveal().split(".")]
            if n == 0:
                self.session._source.renew(tokens.access_token)
        self.session.userinfo()
        self.session.logout()
        self.trace = self.session.trace()
        assert len(self.secrets) >= 12


@pytest.fixture(scope="module")
def signed(box: Sandbox) -> Signed:
    return Signed(box)


def step(**changes: Any) -> Step:
    return replace(Step("token", NOW, "notebook", "lexoffice", "POST", "https://p.example/token"), **changes)


class Page(HTMLParser):
    """What a browser would make of a page: its elements and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


class TestNoSecret:
    def test_is_in_any_form_of_it(self, signed: Signed, tmp_path: Path) -> None:
        trace = signed.trace
        page = trace.to_html(tmp_path / "x.html").read_text("utf-8")
        har = trace.to_har(tmp_path / "x.har").read_text("utf-8")
        bundle = trace._repr_mimebundle_()
        forms = [repr(trace), *bundle.values(), page, har, repr(trace.drawing), str(pickle.dumps(trace))]
        for secret in signed.secrets:
            assert not [form for form in forms if secret in form or secret[:16] in form]

    def test_survives_a_pickle_as_there_is_none(self, signed: Signed) -> None:
        assert pickle.loads(pickle.dumps(signed.trace)) == signed.trace

    def test_is_shown_but_what_it_is_and_how_long_in_the_person_s_language(self, signed: Signed) -> None:
        assert "‹code, 43 characters›" in repr(signed.trace)
        use_language("de")
        assert "‹Code, 43 Zeichen›" in repr(signed.trace)
        assert "‹Code, 43 Zeichen›" in signed.trace._repr_html_()


class TestText:
    def test_is_a_table_that_names_each_step(self, signed: Signed) -> None:
        shown = repr(signed.trace)
        for title in ("Login URL", "Code for tokens", "Renewal", "Token revoked", "Who signed in?"):
            assert title in shown
        assert "POST /connect/token  200 OK" in shown
        assert "Muster & Söhne GmbH" in shown

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_has_no_address_that_a_terminal_would_link_to_a_server_s_choice(self, language: str) -> None:
        use_language(language)
        trace = Trace((step(),), provider="https://evil.example", who="www.evil.example")
        assert "://" not in repr(trace)
        assert "www." not in repr(trace)

    def test_of_a_hostile_name_has_no_escape_sequence(self) -> None:
        shown = repr(Trace((step(),), provider=HOSTILE, who=HOSTILE))
        assert not [c for c in shown if not c.isprintable() and c != "\n"]

    def test_of_nothing_is_still_a_text(self) -> None:
        assert text("trace.redacted") in repr(Trace(()))
        assert "<svg" in Trace(())._repr_html_()


class TestHtml:
    def test_of_a_hostile_company_is_literal(self, tmp_path: Path) -> None:
        steps = tuple(
            step(title=title, error=HOSTILE, sent=((HOSTILE, HOSTILE),), received=((HOSTILE, Hidden(HOSTILE, 1)),))
            for title in ("token", "id_token_checked")
        )
        trace = Trace((*steps, replace(steps[1], receiver="notebook")), provider=HOSTILE, who=HOSTILE)
        page = Page(trace._repr_html_())
        assert {tag for tag, _ in page.elements} <= {
            *TAGS,
            *("style", "section", "p", "svg", "title", "desc", "details", "summary", "ol", "li", "b", "span"),
            *("dl", "dt", "dd"),
        }
        assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
        assert "<img src=x onerror=alert(1)>" in page.words
        assert trace._repr_html_().encode("utf-8")  # a lone surrogate would break the message to the front end
        assert trace.to_html(tmp_path / "x.html").read_text("utf-8")
        assert trace.to_har(tmp_path / "x.har").read_text("utf-8")

    def test_has_the_diagram_and_the_same_as_a_list(self, signed: Signed) -> None:
        page = Page(signed.trace._repr_html_())
        assert sum(tag == "li" for tag, _ in page.elements) == len(signed.trace.steps)
        drawn = next(attributes for tag, attributes in page.elements if tag == "svg")
        assert drawn["role"] == "img"
        names = {attributes.get("id"): tag for tag, attributes in page.elements if attributes.get("id")}
        assert names[drawn["aria-labelledby"]] == "title"
        assert names[drawn["aria-describedby"]] == "desc"
        for each in signed.trace.steps:
            assert text(f"trace.about.{each.title}") in page.words

    def test_says_what_the_notebook_has_not_seen(self, signed: Signed) -> None:
        assert text("trace.unseen") in signed.trace._repr_html_().replace("&#x27;", "'")
        assert text("trace.unseen") not in Trace((step(),))._repr_html_()

    def test_says_how_much_was_dropped(self) -> None:
        assert "7." in Trace((step(),), left_out=7)._repr_html_()
        assert text("trace.left_out", count=7) in repr(Trace((step(),), left_out=7))

    def test_comes_as_a_bundle_with_text_for_places_that_draw_nothing(self, signed: Signed) -> None:
        assert set(signed.trace._repr_mimebundle_()) == {"text/plain", "text/html"}

    def test_says_why_a_sign_in_failed_in_words(self, box: Sandbox) -> None:
        attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.discover(box.url))
        attempt.get_login_url()
        with pytest.raises(StateMismatch):
            attempt.handle_callback(f"{REDIRECT_URI}?code=a&state=b", caught=True)
        assert attempt.endpoint.recorder
        trace = Trace(attempt.endpoint.recorder.steps())
        assert "Invalid state parameter" in Page(trace._repr_html_()).words
        assert "✗" in repr(trace)

    def test_shows_the_error_of_a_token_endpoint(self, box: Sandbox) -> None:
        attempt = LexofficeLogin(CLIENT_ID, REDIRECT_URI, provider=Provider.discover(box.url))
        callback = sign_in(attempt.get_login_url())
        box.grants.use_code(re.findall(r"[?&]code=([^&]+)", callback)[0], CLIENT_ID)
        with pytest.raises(InvalidGrant):
            attempt.handle_callback(callback)
        assert attempt.endpoint.recorder
        trace = Trace(attempt.endpoint.recorder.steps())
        assert "400 · invalid_grant" in Page(trace._repr_html_()).words


class TestTheLanguages:
    @pytest.mark.parametrize("language", ["en", "de"])
    def test_have_words_for_each_step_and_lane(self, signed: Signed, language: str) -> None:
        use_language(language)
        html = signed.trace._repr_html_()
        assert f"lang='{language}'" in html
        assert text("trace.step.token") in html

    def test_write_a_size_as_people_there_do(self) -> None:
        trace = Trace((step(status=200, received_octets=1_710), step(status=200, received_octets=999)))
        assert "1.7 kB" in repr(trace)
        use_language("de")
        assert "1,7 kB" in repr(trace)
        assert "999 Byte" in repr(trace)

    def test_have_each_title_that_is_recorded(self, signed: Signed) -> None:
        for title in {step.title for step in signed.trace.steps}:
            assert text(f"trace.step.{title}", "de")
            assert text(f"trace.about.{title}", "de")


class TestThePage:
    def test_needs_nothing_else_and_says_so(self, signed: Signed, tmp_path: Path) -> None:
        written = signed.trace.to_html(tmp_path / "x.html").read_text("utf-8")
        page = Page(written)
        policy = next(a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv"))
        assert policy
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "a", "base"}
        assert not [a for _, a in page.elements if {"src", "href", "style", "action"} & set(a)]
        assert "url(" not in written
        assert "@import" not in written

    def test_shows_each_step_in_full_at_once(self, signed: Signed, tmp_path: Path) -> None:
        page = Page(signed.trace.to_html(tmp_path / "x.html").read_text("utf-8"))
        assert ("details", {"open": None}) in page.elements


class TestFiles:
    @pytest.mark.parametrize("write", ["to_html", "to_har"])
    def test_are_never_overwritten_unless_that_is_said(self, tmp_path: Path, write: str) -> None:
        target = tmp_path / "there"
        target.write_text("mine")
        with pytest.raises(StoreError) as refused:
            getattr(Trace((step(),)), write)(target)
        assert refused.value.code == "report_exists"
        assert target.read_text() == "mine"
        assert getattr(Trace((step(),)), write)(target, overwrite=True) == target
        assert target.read_text("utf-8") != "mine"

    @pytest.mark.parametrize("write", ["to_html", "to_har"])
    def test_that_cannot_be_written_say_why_and_leave_nothing(self, tmp_path: Path, write: str) -> None:
        for path in (tmp_path / "no folder" / "x", "x\x00y", "~nobody-of-this-name/x"):
            with pytest.raises(StoreError) as refused:
                getattr(Trace((step(),)), write)(path)
            assert refused.value.code == "report_unwritable"
            assert refused.value.__cause__ is None
        assert list(tmp_path.iterdir()) == []

    def test_do_not_follow_a_link_that_somebody_laid(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError):
            Trace((step(),)).to_html(tmp_path / "link")
        Trace((step(),)).to_html(tmp_path / "link", overwrite=True)
        assert not (tmp_path / "elsewhere").exists()

    def test_can_be_read_by_their_owner_only(self, tmp_path: Path) -> None:
        target = Trace((step(),)).to_html(tmp_path / "x.html")
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [target]


NAMED = {
    "type": "object",
    "required": ["name", "value"],
    "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
}
PAIRS = {"type": "array", "items": NAMED}
HAR = {  # HTTP Archive 1.2, what it demands of the parts that we write
    "type": "object",
    "required": ["log"],
    "properties": {
        "log": {
            "type": "object",
            "required": ["version", "creator", "entries"],
            "properties": {
                "version": {"const": "1.2"},
                "creator": {"type": "object", "required": ["name", "version"]},
                "entries": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["startedDateTime", "time", "request", "response", "cache", "timings"],
                        "properties": {
                            "startedDateTime": {
                                "type": "string",
                                "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$",
                            },
                            "time": {"type": "number", "minimum": 0},
                            "cache": {"type": "object"},
                            "comment": {"type": "string"},
                            "request": {
                                "type": "object",
                                "required": [
                                    *("method", "url", "httpVersion", "cookies", "headers", "queryString"),
                                    *("headersSize", "bodySize"),
                                ],
                                "properties": {
                                    "method": {"enum": ["GET", "POST"]},
                                    "url": {"type": "string", "pattern": "^https?://[^?#]+$"},
                                    "cookies": {"const": []},
                                    "headers": PAIRS,
                                    "queryString": PAIRS,
                                    "headersSize": {"type": "integer", "minimum": -1},
                                    "bodySize": {"type": "integer", "minimum": -1},
                                    "postData": {"type": "object", "required": ["mimeType", "params", "text"]},
                                },
                            },
                            "response": {
                                "type": "object",
                                "required": [
                                    *("status", "statusText", "httpVersion", "cookies", "headers", "content"),
                                    *("redirectURL", "headersSize", "bodySize"),
                                ],
                                "properties": {
                                    "status": {"type": "integer"},
                                    "statusText": {"type": "string"},
                                    "cookies": {"const": []},
                                    "headers": PAIRS,
                                    "redirectURL": {"const": ""},
                                    "content": {
                                        "type": "object",
                                        "required": ["size", "mimeType"],
                                        "properties": {"size": {"type": "integer"}, "mimeType": {"type": "string"}},
                                    },
                                },
                            },
                            "timings": {
                                "type": "object",
                                "required": ["send", "wait", "receive"],
                                "additionalProperties": {"type": "number", "minimum": -1},
                            },
                        },
                    },
                },
            },
        }
    },
}


class TestHar:
    def test_is_one_as_the_format_demands(self, signed: Signed, tmp_path: Path) -> None:
        har = json.loads(signed.trace.to_har(tmp_path / "x.har").read_text("utf-8"))
        jsonschema.validate(har, HAR)
        for entry in har["log"]["entries"]:
            timings = entry["timings"]
            assert entry["time"] == sum(each for each in timings.values() if each >= 0)

    def test_has_each_request_and_nothing_that_was_only_checked(self, signed: Signed, tmp_path: Path) -> None:
        har = json.loads(signed.trace.to_har(tmp_path / "x.har").read_text("utf-8"))
        asked = [(e["request"]["method"], e["request"]["url"]) for e in har["log"]["entries"]]
        assert asked == [(s.method, s.url) for s in signed.trace.steps if s.sender != s.receiver]
        token = next(e for e in har["log"]["entries"] if e["comment"] == "Code for tokens")
        assert token["response"]["status"] == 200
        assert {"name": "code", "value": "‹code, 43 characters›"} in token["request"]["postData"]["params"]

    def test_says_the_same_in_any_language(self, signed: Signed, tmp_path: Path) -> None:
        english = signed.trace.to_har(tmp_path / "en.har").read_bytes()
        use_language("de")
        assert signed.trace.to_har(tmp_path / "de.har").read_bytes() == english

    def test_tells_what_the_browser_sent_from_what_this_program_sent(self, signed: Signed, tmp_path: Path) -> None:
        har = json.loads(signed.trace.to_har(tmp_path / "x.har").read_text("utf-8"))
        unseen = [e for e in har["log"]["entries"] if e["response"]["status"] == 0]
        assert len(unseen) == 3
        assert all("browser" in e["comment"] for e in unseen)


def boxes(drawing: Drawing) -> list[tuple[str, int, int]]:
    """Each text with its left and right end, by the widths of a wide font."""
    found = []
    for shape in drawing.shapes:
        if len(shape) == 3 and "number" not in str(shape[1]["class"]):
            wide = len(shape[2]) * (6.05 if "detail" in str(shape[1]["class"]) else 6.3)
            centre = int(shape[1]["x"])
            found.append((shape[2], round(centre - wide / 2), round(centre + wide / 2)))
    return found


class TestTheDiagram:
    def messages(self) -> list[Message]:
        return [
            Message("notebook", "browser", "Login URL", "GET /authorize"),
            Message("browser", "lexoffice", "Sign-in", kind="unseen"),
            Message("browser", "attacker", "The callback leaks", kind="attack"),
            Message("attacker", "lexoffice", "Code for tokens", "POST /token", "400", kind="attack", refused=True),
            Message("notebook", "notebook", "Checked", "✗ state_mismatch", kind="failed"),
            Message("notebook", "lexoffice", "Renewal", "POST /token", "unreachable", kind="failed", refused=True),
        ]

    def test_is_plain_data_that_json_carries(self) -> None:
        drawing = layout(self.messages(), LANES)
        shapes = json.loads(json.dumps(drawing.shapes))
        assert [tuple(shape) for shape in shapes] == list(drawing.shapes)

    def test_is_made_of_a_short_list_of_tags_and_attributes(self, signed: Signed) -> None:
        for drawing in (layout(self.messages(), LANES), signed.trace.drawing):
            for shape in drawing.shapes:
                assert shape[0] in TAGS
                assert set(shape[1]) <= ATTRIBUTES
                assert (len(shape) == 3) == (shape[0] == "text")

    def test_numbers_its_steps(self) -> None:
        drawing = layout(self.messages(), LANES)
        numbers = [s[2] for s in drawing.shapes if len(s) == 3 and s[1]["class"] == "lxo-seq-number"]
        assert numbers == ["1", "2", "3", "4", "5", "6"]
        assert {s[1]["data-step"] for s in drawing.shapes if "data-step" in s[1]} == {1, 2, 3, 4, 5, 6}

    @pytest.mark.parametrize("language", ["en", "de"])
    def test_stays_within_640_pixels(self, signed: Signed, language: str) -> None:
        use_language(language)
        drawn = [signed.trace.drawing]
        long = "Anmeldung und Einwilligung mit besonders langen Wörtern wie Autorisierungsanfrage"
        drawn.append(
            layout([Message(a, b, long, long, long) for a in LANES for b in LANES], dict.fromkeys(LANES, long))
        )
        for drawing in drawn:
            assert drawing.width == WIDTH == 640
            assert [each for each in boxes(drawing) if each[1] < 0 or each[2] > WIDTH] == []

    def test_draws_what_was_not_seen_dotted_and_what_failed_without_an_answer(self) -> None:
        by_step: dict[object, list[str]] = {}
        for shape in layout(self.messages(), LANES).shapes:
            if shape[0] == "line":
                look = f"{shape[1]['class']} {shape[1].get('stroke-dasharray', '')}"
                by_step.setdefault(shape[1].get("data-step"), []).append(look)
        assert by_step[2] == ["lxo-seq-line lxo-seq-unseen 1.5 4"]
        assert by_step[4] == ["lxo-seq-line lxo-seq-attack ", "lxo-seq-line lxo-seq-failed 5 4"]
        assert by_step[6] == ["lxo-seq-line lxo-seq-failed "]

    def test_says_a_refusal_with_a_sign_and_not_with_a_colour_alone(self) -> None:
        words = [shape[2] for shape in layout(self.messages(), LANES).shapes if len(shape) == 3]
        assert "✗ 400" in words
        assert "✗ unreachable" in words

    def test_as_svg_is_well_formed_and_literal_whatever_the_words(self) -> None:
        messages = [
            Message("notebook", "lexoffice", HOSTILE, HOSTILE, HOSTILE),
            Message("notebook", "notebook", HOSTILE),
        ]
        root = ElementTree.fromstring(
            svg(layout(messages, {**LANES, "browser": HOSTILE}, title=HOSTILE, words=HOSTILE))
        )
        assert {element.tag.removeprefix(SVG) for element in root} <= TAGS | {"title", "desc"}

    @pytest.mark.parametrize(
        "shape",
        [
            ("script", {}),
            ("text", {"onclick": "x"}, "y"),
            ("line", {"style": "x"}),
            ("line", {}, "words"),
            ("text", {}),
        ],
    )
    def test_as_svg_refuses_what_is_not_of_the_list(self, shape: Any) -> None:
        with pytest.raises(ValueError, match="no shape of ours"):
            svg(Drawing(1, 1, "", "", (shape,)))

    def test_refuses_a_lane_or_a_kind_that_is_not_there(self) -> None:
        for message in (Message("nobody", "browser", "x"), Message("browser", "notebook", "x", kind="odd")):
            with pytest.raises(ValueError, match="no such lane or kind"):
                layout([message], LANES)

    def test_shows_the_lane_of_an_attacker_only_where_there_is_one(self, signed: Signed) -> None:
        assert "lane-attacker" not in svg(signed.trace.drawing)
        attacked = Trace((step(sender="attacker"),))
        assert "lane-attacker" in svg(attacked.drawing)

    def test_grows_with_its_steps_and_with_nothing_else(self) -> None:
        short, longer = (layout(self.messages() * n, LANES).height for n in (1, 3))
        assert 2 * short < longer < 3 * short

    def test_breaks_and_shortens_words_to_the_room_there_is(self) -> None:
        assert wrapped("one two three four five six", 9) == ["one two", "three", "four fiv…"]
        assert wrapped("", 9) == [""]
        assert wrapped("unbreakable", 5) == ["unbr…"]
        assert shortened("/.well-known/openid-configuration", 15) == "/.well-…uration"
        assert shortened("short", 15) == "short"


def test_the_time_is_that_of_the_steps(signed: Signed) -> None:
    moments = [step.at for step in signed.trace.steps]
    assert moments == sorted(moments)
    assert datetime.now(UTC) - moments[-1] < timedelta(minutes=2)
