"""Numbers stay exact on both ways."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest

from lexoffice_nb import errors
from lexoffice_nb.api import exact_json
from lexoffice_nb.api.berlin import BERLIN
from lexoffice_nb.api.records import Record


class TestDecode:
    @pytest.mark.parametrize("digits", ["119.07", "0.1", "2", "-0.005", "119.70", "1e2", "999999999999999.99"])
    def test_every_number_is_the_decimal_that_was_written(self, digits):
        value = exact_json.decode(digits)
        assert type(value) is Decimal
        assert str(value) == str(Decimal(digits))

    def test_a_sum_of_tenths_is_exact(self):
        assert sum(exact_json.decode(json.dumps([0.1] * 10))) == 1

    @pytest.mark.parametrize("body", ["NaN", "[Infinity]", '{"a":-Infinity}', "", "{", "'a'", b"\xff\xfe\x00", "<p>"])
    def test_what_is_no_json_is_refused(self, body):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - json's own words
            exact_json.decode(body)
        assert not isinstance(refused.value, exact_json.AmountTooLong)

    @pytest.mark.parametrize(
        "digits", ["1" + "0" * 15, "1e15", "1e999999999", "1e99999999999999999999", "0e99999", "1e-31", "9" * 5000]
    )
    def test_threat_24_a_number_longer_than_any_amount_is_refused(self, digits):
        with pytest.raises(exact_json.AmountTooLong):
            exact_json.decode(f'{{"a":{digits}}}')

    @pytest.mark.parametrize("depth", [65, 500, 100_000])
    @pytest.mark.parametrize("pair", ["[]", ('{"a":', "}")])
    def test_threat_24_deep_json_is_refused(self, depth, pair):
        with pytest.raises(ValueError, match="too deeply"):
            exact_json.decode(pair[0] * depth + "1" + pair[1] * depth)

    def test_what_is_only_long_is_read(self):
        assert len(exact_json.decode("[" + ",".join(["[[1]]"] * 5000) + "]")) == 5000

    def test_options_of_the_caller_win(self):
        assert type(exact_json.decode("1.5", parse_float=float)) is float


class TestEncode:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (Decimal("119.07"), "119.07"),
            (Decimal("119.70"), "119.70"),
            (Decimal("1E+3"), "1000"),
            (Decimal("-0.005"), "-0.005"),
            (Decimal("123456789012345.123456789012345"), "123456789012345.123456789012345"),
            (119.07, "119.07"),
            (1e-7, "0.0000001"),
            (7, "7"),
            (True, "true"),
            (None, "null"),
            ('Söhne \ud800"', '"S\\u00f6hne \\ud800\\""'),
            ([], "[]"),
            ((1, "a"), '[1,"a"]'),
            ({"a": {"b": [Decimal("0.10")]}}, '{"a":{"b":[0.10]}}'),
            (StrEnum("Kind", {"A": "net"}).A, '"net"'),  # type: ignore[attr-defined]
        ],
    )
    def test_writes_the_very_digits(self, value, text):
        assert exact_json.encode(value) == text.encode()

    @pytest.mark.parametrize(
        "value",
        [
            Decimal("NaN"),
            Decimal("sNaN"),
            Decimal("Infinity"),
            float("nan"),
            float("-inf"),
            0.1 + 0.2,
            Decimal("1E+15"),
            Decimal("1E+999999"),
            10**15,
            1e300,
        ],
    )
    def test_refuses_what_is_no_amount(self, value):
        with pytest.raises(errors.Invalid) as refused:
            exact_json.encode({"amount": value})
        assert refused.value.code == "api_json_number"
        assert len(str(refused.value)) < 300

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (date(2025, 3, 1), "2025-03-01T00:00:00.000+01:00"),
            (date(2025, 3, 30), "2025-03-30T00:00:00.000+01:00"),
            (date(2025, 3, 31), "2025-03-31T00:00:00.000+02:00"),
            (date(2025, 10, 26), "2025-10-26T00:00:00.000+02:00"),
            (date(2025, 10, 27), "2025-10-27T00:00:00.000+01:00"),
            (datetime(2025, 6, 30, 22, tzinfo=UTC), "2025-07-01T00:00:00.000+02:00"),
            (datetime(2025, 7, 1, 0, 0, 0, 123999, BERLIN), "2025-07-01T00:00:00.123+02:00"),
            (datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN), "2025-10-26T02:30:00.000+02:00"),
            (datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN, fold=1), "2025-10-26T02:30:00.000+01:00"),
            # An hour that was not there: the clocks showed another one.
            (datetime(2025, 3, 30, 2, 30, tzinfo=BERLIN), "2025-03-30T03:30:00.000+02:00"),
            (datetime(2025, 3, 1, tzinfo=timezone(timedelta(hours=-5))), "2025-03-01T06:00:00.000+01:00"),
            (
                UUID("8f8664a8-fd86-11e1-a21f-0800200c9a66"),
                "8f8664a8-fd86-11e1-a21f-0800200c9a66",
            ),
        ],
    )
    def test_writes_days_and_moments_as_the_vendor_takes_them(self, value, text):
        assert exact_json.encode(value) == f'"{text}"'.encode()

    def test_writes_records(self):
        record = Record(items=(Record(voucherDate=date(2025, 3, 1)),), netAmount=Decimal("119.00"))
        assert (
            exact_json.encode(record)
            == b'{"items":[{"voucherDate":"2025-03-01T00:00:00.000+01:00"}],"netAmount":119.00}'
        )

    def test_asks_for_the_time_zone_of_a_moment_without_one(self):
        with pytest.raises(errors.Invalid) as refused:
            exact_json.encode({"voucherDate": datetime(2025, 3, 1)})  # noqa: DTZ001
        assert refused.value.code == "api_json_naive"
        assert "2025-03-01 00:00:00 has no time zone" in str(refused.value)

    @pytest.mark.parametrize("value", [date.min, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
    def test_refuses_what_is_no_moment_in_berlin(self, value):
        with pytest.raises(errors.Invalid) as refused:
            exact_json.encode(value)
        assert refused.value.code == "api_json_moment"

    @pytest.mark.parametrize("value", [object(), {1, 2}, b"x", {1: "a"}, {None: 1}, time(12), timedelta(1), tzinfo()])
    def test_refuses_what_json_has_no_word_for(self, value):
        with pytest.raises(errors.Invalid) as refused:
            exact_json.encode([value])
        assert refused.value.code == "api_json_type"

    def test_threat_24_no_number_leads_to_a_long_text(self):
        for value in (Decimal("1E+999999999"), Decimal("1E-999999"), 10**4000, Decimal("9" * 5000)):
            with pytest.raises(errors.Invalid) as refused:
                exact_json.encode(value)
            assert len(str(refused.value)) < 300

    def test_refuses_what_contains_itself(self):
        round_and_round: list[object] = []
        round_and_round.append(round_and_round)
        with pytest.raises(errors.Invalid) as refused:
            exact_json.encode(round_and_round)
        assert refused.value.code == "api_json_depth"


class TestOnTheWire:
    def test_a_decimal_arrives_with_its_very_digits(self, elsewhere, server, answer):
        server.answers["/v1/invoices"] = [answer.of({"id": "x"})]
        elsewhere.post("/v1/invoices", json={"amount": Decimal("119.07"), "name": "Söhne"})
        assert server.seen[0].body == b'{"amount":119.07,"name":"S\\u00f6hne"}'
        assert server.seen[0].headers["Content-Type"] == "application/json"

    def test_a_content_type_of_the_caller_is_kept(self, elsewhere, server, answer):
        server.answers["/v1/invoices"] = [answer.of({})]
        elsewhere.put("/v1/invoices", json={}, headers={"content-type": "application/vnd.x+json"})
        assert server.seen[0].headers["content-type"] == "application/vnd.x+json"
        assert "Content-Type" not in server.seen[0].headers
        assert server.seen[0].body == b"{}"

    def test_a_decimal_nan_is_refused_before_anything_is_sent(self, elsewhere, server):
        with pytest.raises(errors.Invalid):
            elsewhere.post("/v1/invoices", json={"amount": Decimal("NaN")})
        assert server.seen == []

    def test_a_form_goes_as_it_does_elsewhere(self, elsewhere, server, answer):
        server.answers["/v1/files"] = [answer.of({})]
        elsewhere.post("/v1/files", data={"type": "voucher"}, files={"file": ("a.pdf", b"%PDF")})
        assert b'name="type"' in server.seen[0].body
        assert server.seen[0].headers["Content-Type"].startswith("multipart/form-data")

    def test_json_beside_files_is_left_out_as_it_is_elsewhere(self, elsewhere, server, answer):
        server.answers["/v1/files"] = [answer.of({})]
        elsewhere.post("/v1/files", json={"a": 1}, files={"file": ("a.pdf", b"%PDF")})
        assert server.seen[0].headers["Content-Type"].startswith("multipart/form-data")

    def test_the_sums_of_the_books_are_exact(self, box, session):
        rows = session.get(
            "/v1/voucherlist", params={"voucherType": "invoice", "voucherStatus": "any", "size": 250}
        ).json()["content"]
        expected = sum(invoice.gross for invoice in box.ledger.invoices)
        assert sum(row["totalAmount"] for row in rows) == Decimal(expected).scaleb(-2)
        assert all(type(row["totalAmount"]) is Decimal for row in rows)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"<html>", "api_not_json"),
            (b"", "api_not_json"),
            (b'{"a":NaN}', "api_not_json"),
            (b"[" * 5000, "api_not_json"),
            (b'{"a":1e400}', "api_amount"),
        ],
    )
    def test_a_bad_body_is_server_trouble(self, elsewhere, server, answer, body, code):
        server.answers["/v1/x"] = [answer(200, body)]
        response = elsewhere.get("/v1/x")
        with pytest.raises(errors.ServerTrouble) as refused:
            response.json()
        assert (refused.value.code, refused.value.path, refused.value.status) == (code, "/v1/x", 200)
        assert response._repr_html_() is None
