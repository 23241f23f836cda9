"""What the API answered, as a table that a person reads."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from lexoffice_nb.api import exact_json
from lexoffice_nb.api.table import records_html

HOSTILE = "<img src=x onerror=alert(1)>' onmouseover='x\"></td><script>alert(1)</script>&amp;"
HARMLESS = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "wbr"}


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
        assert {name for name, _ in page.attributes} <= {"style", "scope", "title"}
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
        assert page.texts("caption") == ["3 / 3 · currency: EUR · archived: –"]

    def test_an_amount_is_never_taken_out_of_the_rows(self):
        assert rows(*[{"amount": Decimal("1.00")}] * 3).texts("td") == ["1.00"] * 3

    def test_the_amounts_of_a_voucherlist_are_among_its_first_columns(self, session):
        parameters = {"voucherType": "invoice", "voucherStatus": "any", "size": 250}
        page = Page(session.get("/v1/voucherlist", params=parameters)._repr_html_())
        assert page.texts("th").index("openAmount") < 8
        assert page.texts("th")[-2:] == ["id", "contactId"]


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


def test_a_stream_that_was_read_has_no_table(session):
    response = session.get("/v1/profile", stream=True)
    assert b"".join(response.iter_content(10))
    assert response._repr_html_() is None
