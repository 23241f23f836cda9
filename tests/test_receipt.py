"""The receipt of a sign-in: as rows, as a line, as HTML, in both languages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from lexoffice_nb.receipt import Receipt, provider_title, scope_lines
from lexoffice_nb.texts import clock, use_language

HOSTILE = "<img src=x onerror=alert(1)>' onclick='x\"><script>alert(1)</script>"
RECEIPT = Receipt(
    signed_in=True,
    provider="Somebody",
    provider_name="sandbox",
    host="127.0.0.1:4711",
    company="Muster & Söhne GmbH",
    person="Erika Muster",
    email="erika@muster.example",
    asked=("openid", "invoice.read"),
    granted=("openid", "invoice.read"),
    expires_at=None,
    renewable=True,
    kind="oauth",
)


@pytest.fixture(autouse=True)
def english():
    use_language("en")
    yield
    use_language(None)


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def marks(asked, granted):
    return [line.mark for line in scope_lines(asked, granted)]


@pytest.mark.parametrize("field", ["provider", "host", "company", "person", "email"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_threat_35_hostile_text_is_shown_literally(field, language):
    use_language(language)
    html = replace(RECEIPT, provider_name="", **{field: HOSTILE}).html()
    page = Page(html)
    assert page.tags <= {"section", "p", "span", "dl", "dt", "dd", "ul", "li", "code"}
    assert page.names <= {"class", "lang", "aria-label", "aria-hidden", "style"}
    assert HOSTILE in page.text
    assert not re.search(r"url\(|https?:|javascript:", html)


def test_threat_35_hostile_scopes_are_shown_literally():
    page = Page(replace(RECEIPT, asked=(HOSTILE[:28],), granted=(HOSTILE[:28],)).html())
    assert HOSTILE[:28] in page.text
    assert "img" not in page.tags


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Signed in", "Organisation", "Sandbox on this machine", "automatic", "read your invoices"]),
        ("de", ["Angemeldet", "Organisation", "Sandbox", "automatisch", "Rechnungen"]),
    ],
)
def test_it_speaks_the_language_of_the_person(language, words):
    use_language(language)
    html = RECEIPT.html()
    assert f"lang='{language}'" in html
    assert all(word in Page(html).text for word in words)


def test_a_line_says_who_where_and_until_when():
    assert RECEIPT.line() == (
        "Signed in: Muster & Söhne GmbH at Sandbox on this machine, access until the provider ends it"
    )
    assert replace(RECEIPT, signed_in=False).line() == "Not signed in"
    assert "withdrawn" in replace(RECEIPT, kind="key").line()


def test_rows_without_a_value_are_left_out():
    labels = [row.label for row in replace(RECEIPT, person="", email="", company="").rows()]
    assert labels == ["Provider", "API", "Access until", "Renewal"]


def test_what_is_remembered_says_where_until_when_and_under_which_profile():
    until = datetime.now(UTC) + timedelta(days=30)
    rows = {
        row.label: row.value for row in replace(RECEIPT, profile="a", place="in a file", remembered_until=until).rows()
    }
    assert (rows["Profile"], rows["Kept"]) == ("a", "in a file")
    assert until.astimezone().strftime("%d %b %Y") in rows["Remembered"]


def test_a_person_who_is_the_company_is_named_once():
    rows = replace(RECEIPT, company="Erika Muster", email="").rows()
    assert [row.value for row in rows].count("Erika Muster") == 1


@pytest.mark.parametrize(
    ("kind", "renewable", "said"), [("key", False, "a key stays"), ("oauth", True, "auto"), ("oauth", False, "sign in")]
)
def test_it_says_how_it_is_renewed(kind, renewable, said):
    rows = {row.label: row.value for row in replace(RECEIPT, kind=kind, renewable=renewable).rows()}
    assert said in rows["Renewal"]


class TestScopes:
    def test_that_are_missing_are_marked_and_named(self):
        receipt = replace(RECEIPT, granted=("openid",))
        assert receipt.missing() == ["invoice.read"]
        assert "read your invoices and the list of vouchers – not granted" in Page(receipt.html()).text

    def test_are_only_asked_before_the_answer(self):
        assert marks(("openid",), None) == ["asked"]

    def test_of_an_empty_grant_are_all_refused(self):
        assert marks(("openid", "invoice.read"), ()) == ["refused", "refused"]

    @pytest.mark.parametrize(
        ("granted", "expected"),
        [
            (("read", "write"), ["granted", "granted"]),
            (("read",), ["granted", "refused"]),
            (("write", "invoices.read"), ["granted", "refused"]),
        ],
    )
    def test_of_the_vendors_old_pair_stand_for_the_new(self, granted, expected):
        assert marks(("invoices.read", "invoices.write"), granted) == expected

    def test_that_nobody_asked_for_are_shown(self):
        assert [line.name for line in scope_lines(("openid",), ("openid", "invoice.write"))] == [
            "openid",
            "invoice.write",
        ]

    def test_in_thousands_are_cut(self):
        assert len(scope_lines((), tuple(map(str, range(5000))))) == 40

    @pytest.mark.parametrize("name", ["other", "refused", "", "x.y", "{what}", "other.x"])
    def test_that_have_no_words_have_a_plain_line(self, name):
        assert [line.text for line in scope_lines((name,), (name,))] == [
            "a permission that this package has no words for"
        ]


def test_a_title_of_ours_is_given_to_providers_of_ours_alone():
    assert provider_title("sandbox", "Somebody") == provider_title("sandbox", "Somebody", shipped=True) != "Somebody"
    assert provider_title("sandbox", "Somebody", shipped=False) == "Somebody"
    assert "Somebody" in replace(RECEIPT, source="notebook").line()
    assert "Somebody" not in RECEIPT.line()


def test_a_clock_shows_the_day_where_it_is_not_today():
    now = datetime.now(UTC)
    assert clock(now) == now.astimezone().strftime("%H:%M")
    assert clock(now + timedelta(days=400)) == (now + timedelta(days=400)).astimezone().strftime("%d %b %Y, %H:%M")
