"""Records: exact numbers, Berlin's days, absent is absent, and nothing of a server's acts for us."""

from __future__ import annotations

import copy
import json
import pickle
import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.completer import IPCompleter, provisionalcompleter
from IPython.lib.pretty import pretty

from lexoffice_nb.api import exact_json
from lexoffice_nb.api.berlin import BERLIN
from lexoffice_nb.api.records import Record, read
from lexoffice_nb.api.table import page_html, page_text, records_html, records_text
from lexoffice_nb.errors import Invalid, LexofficeError, NoMember
from lexoffice_nb.texts import use_language

HOSTILE = "<img src=x onerror=alert(1)>"


def record(**members: object) -> Record:
    return read(exact_json.decode(json.dumps(members)))


def berlin(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=BERLIN, fold=fold)  # type: ignore[arg-type,misc]


class TestDates:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2025-03-01T00:00:00.000+01:00", berlin(2025, 3, 1)),
            ("2025-07-01T00:00:00.000+02:00", berlin(2025, 7, 1)),
            ("2025-06-30T22:00:00.000Z", berlin(2025, 7, 1)),
            ("2025-02-28T18:00:00.123-05:00", berlin(2025, 3, 1, 0, 0, 0, 123000)),
            ("2023-08-31T12:16:32.571+02:00", berlin(2023, 8, 31, 12, 16, 32, 571000)),
            # The night in March: 02:00 to 03:00 is not there.
            ("2025-03-30T00:59:59.999Z", berlin(2025, 3, 30, 1, 59, 59, 999000)),
            ("2025-03-30T01:00:00.000Z", berlin(2025, 3, 30, 3)),
            ("2025-03-30T02:30:00.000+01:00", berlin(2025, 3, 30, 3, 30)),
            # The night in October: 02:00 to 03:00 is there twice.
            ("2025-10-26T00:30:00.000Z", berlin(2025, 10, 26, 2, 30)),
            ("2025-10-26T01:30:00.000Z", berlin(2025, 10, 26, 2, 30, fold=1)),
            ("2025-10-26T00:00:00.000+02:00", berlin(2025, 10, 26)),
            ("2025-10-27T00:00:00.000+01:00", berlin(2025, 10, 27)),
        ],
    )
    def test_a_timestamp_is_a_moment_in_berlin_whatever_its_offset(self, text, moment):
        got = record(voucherDate=text).voucherDate
        assert (got.replace(tzinfo=None), got.utcoffset(), got.fold) == (
            moment.replace(tzinfo=None),
            moment.utcoffset(),
            moment.fold,
        )
        assert got.tzinfo.key == "Europe/Berlin"

    def test_an_invoice_of_the_first_stays_on_the_first_wherever_the_notebook_runs(self, monkeypatch):
        for zone in ("Pacific/Kiritimati", "America/Los_Angeles"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            try:
                for text in ("2025-07-01T00:00:00.000+02:00", "2025-01-01T00:00:00.000+01:00"):
                    assert str(record(voucherDate=text).voucherDate.date()) == text[:10]
            finally:
                monkeypatch.undo()
                time.tzset()

    @pytest.mark.parametrize("name", ["startDate", "nextExecutionDate", "date"])
    def test_a_plain_date_is_a_date(self, name):
        value = record(**{name: "2025-03-01"})[name]
        assert (type(value), value) == (date, date(2025, 3, 1))

    @pytest.mark.parametrize(
        "text",
        [
            "2025-02-30",
            "2025-02-30T00:00:00.000+01:00",
            "0000-01-01",
            "0000-01-01T00:00:00.000Z",
            "9999-12-31T23:59:59.999Z",
            "0001-01-01T00:00:00.000+01:00",
            "0001-01-01T12:00:00.000Z",  # Berlin's clocks had 53 minutes and 28 seconds then
            "2025-03-01T24:00:00.000Z",
            "2025-03-01T00:00:60.000Z",
            "2025-03-01T00:00:00.000+99:00",
            "2025-03-01T00:00:00.000+01:60",
            "2025-03-01T00:00:00.000+01:00:30",
            "2025-03-01T00:00:00Z",
            "2025-03-01T00:00:00.000000Z",
            "2025-03-01T00:00:00.000",
            "2025-03-01T00:00:00.000+0100",
            "2025-03-01 00:00:00.000Z",
            "2025-03-01T00:00:00.000z",
            "2025-03-01T00:00:00.000Z\n",
            "20250301",
            "2025-W09-6",
            "2025-3-1",
            "٢٠٢٥-٠٣-٠١",
            " 2025-03-01",
            "",
            "soon",
        ],
    )
    def test_what_is_on_no_calendar_or_of_another_form_stays_text(self, text):
        assert record(voucherDate=text).voucherDate == text

    def test_text_that_looks_like_a_date_stays_text(self):
        names = ("voucherNumber", "note", "update", "dated", "Date of birth", "companyName", "dates")
        for text in ("2025-03-01", "2025-03-01T00:00:00.000Z"):
            assert record(**dict.fromkeys(names, text)) == dict.fromkeys(names, text)

    def test_other_values_under_the_name_of_a_date_pass_through(self):
        for value in (None, True, Decimal(1), [], ["2025-03-01"]):
            assert read({"dueDate": value}) == {"dueDate": value}
        assert type(read({"date": {"a": {}}}).date.a) is Record

    def test_dates_deep_down_are_read_as_well(self):
        profile = record(created={"userName": "A", "date": "2025-03-01T10:00:00.000+01:00"})
        assert profile.created.date == berlin(2025, 3, 1, 10)


class TestAmounts:
    def test_keep_their_digits(self):
        assert str(read(exact_json.decode('{"a":{"totalGrossAmount":119.00}}')).a.totalGrossAmount) == "119.00"

    @pytest.mark.parametrize("name", ["openAmount", "totalAmount", "grossAmount", "amount", "netPrice"])
    def test_that_came_as_text_are_numbers(self, name):
        value = record(**{name: "1337.00"})[name]
        assert type(value) is Decimal
        assert str(value) == "1337.00"

    @pytest.mark.parametrize(
        "text", ["", "NaN", "Infinity", "1.337,00", "1e9", "1337.00 EUR", " 1", "1_000", "٣", "9" * 16, "1.", ".5", "-"]
    )
    def test_threat_24_text_that_is_no_amount_stays_text(self, text):
        assert record(openAmount=text).openAmount == text

    def test_text_elsewhere_is_never_a_number(self):
        assert record(zip="01067", voucherNumber="1337.00", gtin="4001", quantity="1").zip == "01067"
        assert type(record(voucherNumber="1337.00").voucherNumber) is str


class TestMembers:
    def test_are_attributes_all_the_way_down(self):
        invoice = record(address={"name": "A"}, lineItems=[{"unitPrice": {"netAmount": 1.5}}, "text"])
        assert invoice.address.name == "A"
        assert invoice.lineItems[0].unitPrice.netAmount == Decimal("1.5")
        assert invoice.lineItems[1] == "text"

    def test_unknown_ones_and_unknown_values_stay_in_the_order_of_the_api(self):
        value = record(zeta="1", voucherType="quantumInvoice", alpha={"b": None, "a": [True]})
        assert value == {"zeta": "1", "voucherType": "quantumInvoice", "alpha": {"b": None, "a": [True]}}
        assert list(value) == ["zeta", "voucherType", "alpha"]
        assert list(value.alpha) == ["b", "a"]

    def test_absent_is_absent(self):
        invoice = record(id="7", voucherNumber="RE1")
        with pytest.raises(AttributeError) as absent:
            _ = invoice.dueDate
        assert isinstance(absent.value, LexofficeError)
        assert str(absent.value).startswith("This record has no dueDate. It has: id, voucherNumber.")
        assert "record.get('dueDate')" in absent.value.remedy
        assert (invoice.get("dueDate"), "dueDate" in invoice, getattr(invoice, "dueDate", 0)) == (None, False, 0)
        assert not hasattr(invoice, "dueDate")
        with pytest.raises(KeyError):
            invoice["dueDate"]
        assert Record().get("x") is None

    def test_absent_is_said_in_german(self):
        use_language("de")
        with pytest.raises(NoMember) as absent:
            _ = record(id="7").dueDate
        assert absent.value._render_traceback_()[0] == "NoMember: Dieser Datensatz hat kein Feld dueDate."

    @pytest.mark.parametrize("wrong", ["voucherdate", "vaucherDate", "voucherDat"])
    def test_a_slip_is_told_the_nearest_name(self, wrong):
        with pytest.raises(NoMember, match="but it has voucherDate"):
            getattr(record(id="7", voucherDate="x"), wrong)

    def test_names_of_methods_stay_methods(self):
        order = record(items=[1], keys="k", get="g", copy="c", pop="p", update="u", values="v", clear="x", note="n")
        assert list(order.items())[0] == ("items", [Decimal(1)])  # noqa: RUF015
        assert (order["items"], order["get"], order.get("update")) == ([Decimal(1)], "g", "u")
        for name in ("items", "_x", "__class__", "__dict__"):
            with pytest.raises(NoMember, match="behind a dot"):
                setattr(order, name, {})
            with pytest.raises(NoMember, match="behind a dot"):
                delattr(order, name)
        assert order["items"] == [1]

    def test_are_set_and_deleted(self):
        contact = record(note="a", address={"city": "B"})
        contact.note, contact.address.city, contact.fresh = "x", "y", 1
        assert contact == {"note": "x", "address": {"city": "y"}, "fresh": 1}
        del contact.note
        assert "note" not in contact
        with pytest.raises(NoMember):
            del contact.note

    def test_are_offered_by_tab(self):
        value = record(voucherDate="x", items=1, _secret=1, **{"with blank": 1, "class": 1, "\x1b[2J": 1})
        offered = dir(value)
        assert "voucherDate" in offered
        assert not {"_secret", "with blank", "class", "\x1b[2J"} & set(offered)
        assert len(offered) == len(set(offered))
        assert value._ipython_key_completions_() == ["voucherDate", "items", "_secret", "with blank", "class"]

    def test_are_completed_by_ipython(self):
        completer = IPCompleter(namespace={"invoice": record(voucherDate="x", voucherNumber="y")})
        completer.use_jedi = False
        offered = {}
        with provisionalcompleter():
            for line in ("invoice.vou", "invoice['vou"):
                offered[line] = [match.text for match in completer.completions(line, len(line))]
        assert sorted(offered["invoice.vou"]) == [".voucherDate", ".voucherNumber"]
        assert sorted(offered["invoice['vou"]) == ["voucherDate", "voucherNumber"]

    def test_that_python_and_front_ends_ask_for_never_come_from_the_server(self):
        names = ("__deepcopy__", "__reduce_ex__", "_repr_mimebundle_", "_ipython_display_", "__array__", "__class__")
        evil = record(**{name: {"text/html": HOSTILE} for name in names})
        assert all(type(getattr(evil, name, None)) is not Record for name in names)
        assert copy.deepcopy(evil) == evil == pickle.loads(pickle.dumps(evil))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_copies_and_pickles_are_records(self, protocol):
        value = record(voucherDate="2025-10-26T01:30:00.000Z", a={"b": [{"c": 1.50}]}, items=1)
        twins = [copy.copy(value), copy.deepcopy(value), value.copy(), pickle.loads(pickle.dumps(value, protocol))]
        for twin in twins:
            assert (type(twin), twin) == (Record, value)
            assert twin.voucherDate.fold or protocol < 4  # Python's older pickles take the first of two hours
            assert type(twin.a.b[0]) is Record
        assert twins[1].a is not value.a
        assert twins[0].a is value.a

    def test_the_error_survives_pickling(self):
        error = NoMember("record_no_member", name="a", names="b")
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


class TestRepr:
    def test_begins_with_what_a_person_looks_for(self):
        row = record(
            id="7", archived=False, totalAmount=1.5, voucherDate="2025-02-28T23:00:00.000Z", voucherNumber="R1"
        )
        assert (
            repr(row) == "Record(voucherNumber='R1', voucherDate=2025-03-01, totalAmount=1.5, archived=False, id='7')"
        )
        assert repr(Record()) == "Record()"
        assert repr([row]) == f"[{row!r}]"

    @given(
        st.dictionaries(
            st.text(max_size=60) | st.sampled_from(["http:", "www", "voucherDate", "//evil"]),
            st.text() | st.sampled_from(["https://evil.example", "//evil.example", "www.evil", "data:text/html,x"]),
            max_size=300,
        )
    )
    def test_is_short_harmless_and_in_one_line_whatever_came(self, members):
        for shown in (repr(read(members)), str(read(members))):
            assert len(shown) <= 120
            assert shown.isprintable()
            assert "://" not in shown
            assert not re.search("data:|www[.]", shown)

    def test_of_anything_else_is_short_as_well(self):
        value = Record(
            a=Decimal("1E+999999999"), b={}, c=[], d=[1], e={"f": 1}, f=None, g="x" * 10_000, h=date(1, 2, 3)
        )
        assert len(repr(value)) <= 120
        assert len(repr(Record({f"n{n}": "x" * 30 for n in range(100_000)}))) <= 120

    def test_a_terminal_shows_a_record_in_lines_and_each_of_several_in_one(self):
        row = record(id="7", companyName="A", created={"date": "2025-03-01T14:05:00.000+01:00"})
        assert pretty(row) == "companyName  A\ncreated      date: 2025-03-01 14:05\nid           7"
        assert pretty([row, row]) == f"[{row!r}, {row!r}]" or pretty([row, row]) == f"[{row!r},\n {row!r}]"
        assert pretty(Record()) == "Record()"

    def test_a_list_of_records_in_an_answer_is_a_table(self):
        lines = record(lineItems=[{"name": "A", "quantity": 2}, {"name": "B", "quantity": 1}]).lineItems
        assert pretty(lines).splitlines()[0].split() == ["name", "quantity"]
        assert "<table" in lines._repr_html_()
        assert pretty([lines]) == f"[{list(lines)!r}]"
        assert (pretty(record(a=["x"]).a), record(a=["x"]).a._repr_html_()) == ("['x']", None)
        assert (pretty(record(a=[]).a), record(a=[]).a._repr_html_()) == ("[]", None)
        assert lines == list(lines)

    def test_threat_35_a_notebook_shows_a_hostile_name_literally(self):
        for value in (record(companyName=HOSTILE), record(**{HOSTILE: {"a": [HOSTILE]}})):
            shown = value._repr_html_()
            assert "<img" not in shown
            assert "&lt;img src=x onerror=alert(1)&gt;" in shown


class TestTables:
    ROWS = (
        {"voucherNumber": "R1", "voucherDate": "2025-02-28T23:00:00.000Z", "startDate": "2025-03-01"},
        {"voucherNumber": "R2", "voucherDate": "2025-10-26T01:30:00.000Z", "startDate": "2025-04-01"},
    )

    def test_show_days_and_times_of_berlin(self):
        rows = read([dict(row) for row in self.ROWS])
        assert page_text(rows, 12345) == (
            "voucherNumber  voucherDate       startDate\n"
            "R1             2025-03-01        2025-03-01\n"
            "R2             2025-10-26 02:30  2025-04-01\n"
            "2 / 12345"
        )
        shown = page_html(rows, 12345)
        assert re.findall("<bdi>(2025[^<]*)</bdi>", shown) == [
            "2025-03-01",
            "2025-03-01",
            "2025-10-26 02:30",
            "2025-04-01",
        ]
        assert "2 / 12345" in shown
        assert "2 / 2" in records_html(rows)

    def test_show_a_moment_of_ones_own_in_berlin_as_well(self):
        assert records_text({"a": datetime(2025, 2, 28, 23, tzinfo=UTC)}) == "a  2025-03-01"
        assert records_text({"a": datetime(2025, 2, 28, 23)}) == "a  2025-02-28 23:00:00"  # noqa: DTZ001
        assert records_text({"a": datetime.max.replace(tzinfo=UTC)}).startswith("a  9999-12-31")

    def test_without_a_total_count_what_they_show(self):
        assert page_text([{"a": "1"}], None) == "a\n1\n1"
        assert ">1</caption>" in page_html([{"a": "1"}], None)

    @pytest.mark.parametrize("show", [page_html, page_text])
    def test_of_what_are_no_records_there_are_none(self, show):
        assert show(["a"], 1) is None

    def test_say_once_what_is_the_same_in_all_rows(self):
        rows = read([{"n": str(n), "createdDate": "2025-03-01T00:00:00.000+01:00"} for n in range(3)])
        assert page_text(rows, 3).splitlines()[-1] == "3 / 3 · createdDate: 2025-03-01"


class TestWayBack:
    AMOUNTS = st.decimals(-(10**14), 10**14, places=2, allow_nan=False)
    MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(9998, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    )
    ZONES = st.sampled_from([UTC, BERLIN])

    @given(AMOUNTS, MOMENTS, ZONES)
    def test_has_the_same_digits_and_the_same_moments(self, amount, moment, zone):
        text = moment.astimezone(zone).isoformat(timespec="milliseconds")
        sent = exact_json.encode(
            read(exact_json.decode(f'{{"a":[{{"netAmount":{amount:f},"voucherDate":"{text}","zip":"{amount}"}}]}}'))
        )
        back = json.loads(sent, parse_float=str)["a"][0]
        assert back["netAmount"] == f"{amount:f}"
        assert back["zip"] == str(amount)
        assert datetime.fromisoformat(back["voucherDate"]) == moment
        assert read(exact_json.decode(sent)) == read(read(exact_json.decode(sent)))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{3}[+]0[123]:00", back["voucherDate"])

    def test_of_what_came_in_berlins_time_is_the_very_text(self):
        body = (
            b'{"voucherDate":"2025-03-01T00:00:00.000+01:00","createdDate":"2025-10-26T02:30:00.120+01:00",'
            b'"updatedDate":"2025-10-26T02:30:00.120+02:00","totalPrice":{"totalGrossAmount":119.00},"x":[true,null]}'
        )
        assert exact_json.encode(read(exact_json.decode(body))) == body

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text() | st.integers(-(10**14), 10**14),
            lambda part: st.lists(part) | st.dictionaries(st.text(), part),
        )
    )
    def test_of_any_json_is_that_json(self, value):
        assert json.loads(exact_json.encode(read(exact_json.decode(json.dumps(value))))) == value


@pytest.mark.parametrize("odd", [timedelta(0), timedelta(hours=5, minutes=30)])
def test_a_moment_too_early_to_be_written_is_refused_in_words(odd):
    with pytest.raises(Invalid, match="too long ago"):
        exact_json.encode(datetime(1800, 1, 1, tzinfo=UTC) + odd)
