"""What the API answered, as a table that a person reads."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from IPython.lib.pretty import pretty

from lexoffice_nb.api import exact_json
from lexoffice_nb.api.table import records_html, records_text

HOSTILE = "<img src=x onerror=alert(1)>' onmouseover='x\"></td><script>alert(1)</script>&amp;"
HARMLESS = {"bdi", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "wbr"}


TURNED = "\u202eevil"
FIRST = ["voucherNumber", "voucherDate", "contactName", "totalAmount", "openAmount", "voucherStatus", "dueDate"]


class Page(HTMLParser):
    """The tags, attributes and texts of a piece of HTML; the texts by cell."""

    def __init__(self, html: str | None) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.cells: list[tuple[str, str, str]] = []
        assert html is not None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag in ("td", "th", "caption"):
            self.cells.append((tag, dict(attrs)["style"], ""))

    def handle_data(self, data):
        tag, style, text = self.cells[-1]
        self.cells[-1] = (tag, style, text + data)

    def texts(self, tag: str) -> list[str]:
        return [text for kind, _, text in self.cells if kind == tag]

    def styles(self, tag: str) -> list[str]:
        return [style for kind, style, _ in self.cells if kind == tag]


def rows(*values: dict[str, object]) -> Page:
    return Page(records_html({"content": list(values), "totalElements": Decimal(len(values))}))


class TestThreat35:
    @pytest.mark.parametrize(
        "value",
        [
            {"companyName": HOSTILE},
            {HOSTILE: "x", "a": Decimal(1)},
            {"address": {"name": HOSTILE, HOSTILE: HOSTILE}},
            {"a": {HOSTILE: HOSTILE}, "b": [HOSTILE, {"c": HOSTILE}]},
            {"lineItems": [{"name": HOSTILE, HOSTILE: Decimal(1)}] * 3},
            {"content": [{"contactName": HOSTILE, HOSTILE: {"x": HOSTILE}}] * 4, "totalElements": HOSTILE},
            [{"contactName": HOSTILE + str(n)} for n in range(4)],
        ],
    )
    def test_a_hostile_name_is_shown_literally(self, value):
        page = Page(records_html(value))
        assert page.tags <= HARMLESS
        assert {name for name, _ in page.attributes} <= {"class", "style", "scope", "title"}
        assert "<img src=x onerror=alert(1)>" in "".join(text for _, _, text in page.cells)

    def test_no_style_loads_anything(self):
        page = Page(records_html([{"a": "b" * 99, "c": Decimal("1234.5")}, {"a": "c"}]))
        assert not any(re.search(r"url|import|expression|//", v) for name, v in page.attributes if name == "style")

    def test_on_the_sandbox(self, box, session):
        box.settings.company_name = HOSTILE
        page = Page(session.get("/v1/profile")._repr_html_())
        assert page.tags <= HARMLESS
        assert HOSTILE in page.texts("td")


class TestNumbers:
    def test_stand_right_with_their_heading_and_text_left(self):
        page = rows({"name": "A", "amount": Decimal("119.07")}, {"name": "B"})
        assert [style.rpartition(":")[2] for style in page.styles("th")] == ["left", "right"]
        assert [style.rpartition(":")[2] for style in page.styles("td")] == ["left", "right"] * 2

    @pytest.mark.parametrize("digits", ["119.07", "119.70", "0.00", "1234567.80", "-1234.5", "10123", "1E+2"])
    def test_are_shown_with_the_digits_of_the_data(self, digits):
        assert rows({"amount": Decimal(digits)}).texts("td") == [f"{Decimal(digits):f}"]

    def test_have_thousands_apart_by_style_alone(self):
        html = records_html({"amount": Decimal("1234567.80")})
        assert html is not None
        assert html.count("<span") == 2
        assert "<span" not in str(records_html({"customer": Decimal(10123)}))

    def test_that_are_text_in_some_row_stand_left(self):
        assert "right" not in "".join(rows({"a": Decimal(1)}, {"a": "x"}).styles("td"))


class TestTimestamps:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("2023-03-01T00:00:00.000+01:00", "2023-03-01"),
            ("2023-07-01T00:00:00.000+02:00", "2023-07-01"),
            ("2023-12-31T23:30:00.000+01:00", "2023-12-31 23:30"),
            ("2023-12-31T23:30:00.000Z", "2023-12-31 23:30"),
            ("2023-12-31T23:30:00", "2023-12-31T23:30:00"),
            ("2023-12-31", "2023-12-31"),
        ],
    )
    def test_are_shortened_and_never_converted(self, value, shown, monkeypatch):
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        assert rows({"voucherDate": value}).texts("td") == [shown]


class TestColumns:
    def test_ids_come_last_and_dates_of_the_record_before_them(self):
        page = rows({"id": "1", "contactId": "2", "createdDate": "3", "voucherNumber": "4", "totalAmount": Decimal(5)})
        assert page.texts("th") == ["voucherNumber", "totalAmount", "createdDate", "id", "contactId"]

    def test_ids_come_last_in_a_record(self):
        page = Page(records_html({"organizationId": "1", "companyName": "2", "id": "3"}))
        assert page.texts("th") == ["companyName", "organizationId", "id"]

    def test_parts_of_a_row_have_columns_of_their_own(self):
        page = rows({"unitPrice": {"netAmount": Decimal("1.50"), "currency": "EUR"}}, {"unitPrice": None})
        assert "unitPrice.netAmount" in page.texts("th")
        assert "1.50" in page.texts("td")

    def test_what_is_the_same_in_every_row_is_said_once(self):
        page = rows(*({"n": str(n), "currency": "EUR", "archived": False} for n in range(3)))
        assert page.texts("th") == ["n"]
        assert page.texts("caption") == ["3 / 3 · currency: EUR · archived: ✗"]

    def test_an_amount_is_never_taken_out_of_the_rows(self):
        assert rows(*[{"amount": Decimal("1.00")}] * 3).texts("td") == ["1.00"] * 3

    @pytest.mark.parametrize("status", ["any", "open", "paid"])
    def test_of_a_voucherlist_begin_with_what_a_person_looks_for(self, session, status):
        parameters = {"voucherType": "invoice", "voucherStatus": status, "size": 250}
        page = Page(session.get("/v1/voucherlist", params=parameters)._repr_html_())
        assert page.texts("th")[:7] == FIRST
        assert page.texts("th")[-2:] == ["id", "contactId"]

    def test_that_come_first_are_never_taken_out_of_the_rows(self):
        page = rows(*[{"currency": "EUR", "voucherStatus": "open", "contactName": "A"}] * 4)
        assert page.texts("th") == ["contactName", "voucherStatus"]

    @pytest.mark.parametrize("rows_of_one_endpoint", [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1], [1, 2, 0]])
    def test_have_one_order_whichever_row_comes_first(self, rows_of_one_endpoint):
        whole = {"a": "1", "b": "2", "dueDate": "3", "c": "4", "d": "5", "voucherNumber": "6"}
        kinds = [whole, {"a": "1", "d": "5"}, {"a": "7", "c": "8", "voucherNumber": "9"}]
        page = rows(*(kinds[n] for n in rows_of_one_endpoint))
        assert page.texts("th") == ["voucherNumber", "dueDate", "a", "b", "c", "d"]

    def test_in_thousands_are_cut_at_once(self):
        begun = time.monotonic()
        assert len(rows({f"n{n}": "x" for n in range(100_000)}).texts("th")) == 24
        assert time.monotonic() - begun < 5


class TestSizes:
    def test_at_most_fifty_rows_with_the_total(self):
        page = Page(records_html({"content": [{"n": str(n)} for n in range(250)], "totalElements": Decimal(1234)}))
        assert len(page.texts("td")) == 50
        assert page.texts("caption") == ["50 / 1234"]

    def test_the_same_for_a_bare_list_and_line_items(self):
        many = [{"n": str(n)} for n in range(99)]
        assert Page(records_html(many)).texts("caption") == ["50 / 99"]
        assert Page(records_html({"lineItems": many})).texts("caption") == ["50 / 99"]

    def test_a_long_text_is_whole_under_the_pointer_and_has_an_end(self):
        page = rows({"a": "x" * 100})
        assert ("title", "x" * 100) in page.attributes
        assert len(rows({"a": "x" * 100_000}).texts("td")[0]) == 500

    def test_the_deepest_json_that_is_read_can_be_shown(self):
        deepest = exact_json.decode('{"a":' * 62 + "[1]" + "}" * 62)
        assert records_html(deepest)
        assert records_html([deepest])

    @pytest.mark.parametrize("value", [None, True, Decimal(1), "text", ["a"], [["a"]], {"content": ["a"]}])
    def test_what_is_no_record_has_no_table(self, value):
        assert records_html(value) is None

    @pytest.mark.parametrize("value", [[], {"content": []}, {}, [{}], {"content": [], "totalElements": Decimal(0)}])
    def test_nothing_is_shown_as_nothing(self, value):
        assert Page(records_html(value)).tags <= HARMLESS


class TestDirections:
    """A mark that turns text round must not reach what stands beside it."""

    @pytest.mark.parametrize(
        "value",
        [
            {"a": TURNED, TURNED: "b"},
            {"part": {TURNED: TURNED, "b": "c"}},
            [{"a": TURNED, TURNED: "x"}] * 4,
            {"a": [TURNED, {TURNED: TURNED}]},
        ],
    )
    def test_end_where_their_text_ends(self, value):
        shown = re.sub(r" title='[^']*'", "", str(records_html(value)))
        assert shown.count(TURNED) >= 2
        assert TURNED not in re.sub(r"<bdi>[^<]*</bdi>", "", shown)


class TestPlainText:
    """What a terminal shows."""

    def test_has_the_first_ten_rows_with_the_columns_of_the_table(self, session):
        parameters = {"voucherType": "invoice", "voucherStatus": "any", "size": 250}
        response = session.get("/v1/voucherlist", params=parameters)
        lines = pretty(response).splitlines()
        assert lines[0].split()[:6] == FIRST[:6]
        assert len(lines) == 12
        assert lines[11].startswith(f"10 / {len(response.json()['content'])}")
        assert max(map(len, lines)) <= 120
        assert lines[1].split()[0] == response.json()["content"][0]["voucherNumber"]

    def test_of_contacts_begins_with_their_names(self, session):
        head = pretty(session.contacts(customer=True)).splitlines()[0].split()
        assert head[:3] == ["company.name", "person.lastName", "person.firstName"]

    def test_puts_numbers_right_and_text_left(self):
        text = records_text([{"name": "A", "amount": Decimal("119.07")}, {"name": "Bob", "amount": Decimal("9.00")}])
        assert text == "name  amount\nA     119.07\nBob     9.00\n2 / 2"

    def test_of_a_record_has_a_line_for_each_member(self):
        shown = records_text({"id": "7", "companyName": "A", "ok": False, "by": {"name": "B", "age": Decimal(3)}})
        assert shown == "companyName  A\nok           ✗\nby           name: B, age: 3\nid           7"

    def test_of_a_record_with_long_parts_has_them_cut_and_not_left_out(self):
        shown = str(records_text({"n" * 40: "x" * 500, "companyName": "A"}))
        assert "companyName                   A" in shown
        assert max(map(len, shown.split("\n"))) == 120

    def test_of_wide_characters_stays_in_line(self):
        assert records_text([{"n": "株式", "a": "x"}, {"n": "abcd", "a": "y"}]) == "n     a\n株式  x\nabcd  y\n2 / 2"

    @pytest.mark.parametrize("mark", ["\x1b[2J", "\x00", "\r", "\n", "\x9b31m", "\u202e", "\u2066", "\u2028"])
    def test_has_no_control_characters(self, mark):
        for value in ({"a": mark, mark: "b"}, [{"a": mark, mark: "b"}] * 4, {"a": {mark: mark, "b": [mark]}}):
            shown = records_text(value)
            assert shown
            assert all(line.isprintable() for line in shown.split("\n"))
            assert mark.strip("\n") not in shown or mark == "\n"

    def test_of_a_bomb_is_short(self):
        many = [{f"n{c}": "x" * 10_000 for c in range(500)} for _ in range(200)]
        for value in (many, many[0], {"a": many}):
            assert len(str(records_text(value))) < 12_000

    def test_of_what_is_no_record_is_the_usual_one(self, elsewhere, server, answer):
        server.answers["/v1/x"] = [answer(200, b"<html>")]
        assert pretty(elsewhere.get("/v1/x")) == "<Response [200]>"

    def test_reads_no_stream_that_nobody_has_read(self, session):
        response = session.get("/v1/profile", stream=True)
        assert pretty(response) == "<Response [200]>"
        assert response._repr_html_() is None
        assert b"".join(response.iter_content(10))


def test_a_stream_that_was_read_has_no_table(session):
    response = session.get("/v1/profile", stream=True)
    assert b"".join(response.iter_content(10))
    assert response._repr_html_() is None
