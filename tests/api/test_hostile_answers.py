"""Answers that mean ill, or are broken: they cost no memory, no row, and nobody's account gets another's rows."""

from __future__ import annotations

import gzip
import json
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.session import Session

from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider
from lexoffice_nb.api.listing import MOST_READINGS, ListingMoved
from lexoffice_nb.api.records import read
from lexoffice_nb.api.response import ApiResponse
from lexoffice_nb.api.table import MOST_MERGED
from lexoffice_nb.errors import ApiError, Invalid, ServerTrouble, SignedOut
from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOMB = gzip.compress(bytes(110_000_000), 1)
NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)


def _row(number: int, created: datetime = NOW - timedelta(days=3)) -> dict[str, Any]:
    return {"id": f"{number:08}", "createdDate": created.isoformat(timespec="milliseconds")}


def _page(answer: Any, rows: list[Any], total: int, *, last: bool, served: datetime = NOW) -> Any:
    body = json.dumps({"content": rows, "totalElements": total, "last": last}).encode()
    return answer(200, body, {"Content-Type": "application/json", "Date": format_datetime(served, usegmt=True)})


def test_an_answer_that_unpacks_to_more_than_any_is_not_read_to_its_end(
    elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    server.answers["/v1/bomb"] = [answer(200, BOMB, {"Content-Encoding": "gzip"})]
    with pytest.raises(ServerTrouble) as caught:
        elsewhere.get("/v1/bomb")
    assert (caught.value.code, caught.value.may_have_been_applied) == ("too_large", False)
    assert len(server.seen) == 1
    with pytest.raises(ServerTrouble) as caught:
        elsewhere.post("/v1/bomb", json={})
    assert (caught.value.code, caught.value.may_have_been_applied) == ("too_large", True)
    assert len(server.seen) == 2


def test_a_redirect_that_unpacks_to_more_than_any_is_not_read_either_where_a_file_is_streamed(
    elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    server.answers["/v1/bomb"] = [answer(302, BOMB, {"Content-Encoding": "gzip", "Location": "/v1/profile"})]
    with pytest.raises(ServerTrouble) as caught:
        elsewhere.get("/v1/bomb", stream=True)
    assert caught.value.code == "too_large"
    assert [each.path for each in server.seen] == ["/v1/bomb"]


def test_half_a_character_in_a_name_can_be_shown_in_a_notebook() -> None:
    html = read({"name": "Huber \ud83d GmbH", "\udfff": "x" * 30 + "\ud800"})._repr_html_()
    rows = ApiResponse()
    rows._content = json.dumps([{"name": "\ud800" * 40}, {"name": "b"}]).encode()
    session = Session(key=b"")
    session.serialize(session.msg("display_data", {"data": {"text/html": html + str(rows._repr_html_())}}))
    assert "Huber ? GmbH" in str(html)


def test_a_record_of_a_million_members_is_shown_in_part() -> None:
    html = str(read({f"a{number}": "x" for number in range(10**6)} | {"n" * 10**6: 1})._repr_html_())
    assert html.count("<tr>") == MOST_MERGED + 1
    assert "10000" in html
    assert len(html) < 200_000


@pytest.mark.parametrize("total", [-1, -10_000])
def test_a_total_below_zero_is_no_page(total: int, elsewhere: LexofficeSession, server: Any, answer: Any) -> None:
    server.answers["/v1/contacts"] = [answer.of({"content": [], "totalElements": total, "last": True})]
    with pytest.raises(ServerTrouble, match="no page of a list"):
        len(elsewhere.contacts())


def test_ids_that_are_no_text_tell_rows_apart_as_well(elsewhere: LexofficeSession, server: Any, answer: Any) -> None:
    rows = [{"id": {"a": 1}}, {"id": [2]}, {"id": 3}]
    server.answers["/v1/contacts"] = [answer.of({"content": rows, "totalElements": 3, "last": True})]
    assert [row["id"] for row in elsewhere.contacts()] == [{"a": 1}, [2], 3]


def test_a_row_that_is_twice_on_one_page_is_given_once(elsewhere: LexofficeSession, server: Any, answer: Any) -> None:
    rows = [{"id": "1"}, {"id": "1"}, {"id": "2"}]
    server.answers["/v1/contacts"] = [answer.of({"content": rows, "totalElements": 2, "last": True})]
    assert [row.id for row in elsewhere.contacts()] == ["1", "2"]


@pytest.mark.parametrize(
    "date", ["Fri, 31 Dec 99999999999999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "", "yesterday"]
)
def test_a_date_of_the_server_that_is_none_ends_no_list(
    date: str, elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    pages = [_page(answer, [_row(1)], 2, last=False), _page(answer, [_row(2)], 2, last=True)]
    for page in pages:
        page.headers["Date"] = date
    server.answers["/v1/voucherlist"] = [*pages, _page(answer, [], 0, last=True)]
    assert [row.id for row in elsewhere.voucherlist(voucherStatus="open")] == ["00000001", "00000002"]


def test_a_server_whose_pages_are_always_new_is_not_asked_for_ever(
    elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    server.answers["/v1/contacts"] = [
        _page(answer, [_row(number * 250 + each) for each in range(250)], 9_999, last=False) for number in range(600)
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = list(elsewhere.contacts())
    assert [each.category for each in caught] == [ListingMoved]
    assert len(server.seen) <= 45 * (MOST_READINGS + 1)
    assert len(rows) == len({row.id for row in rows})


def test_a_row_that_is_deleted_while_another_is_made_takes_no_other_row_with_it(
    elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    """The list of everything: the total is the same before and after, and no status is asked for."""
    new = _row(5, NOW + timedelta(seconds=3))
    later = NOW + timedelta(seconds=9)
    server.answers["/v1/voucherlist"] = [
        _page(answer, [_row(1), _row(2)], 4, last=False),
        # Row 1 is gone and row 5 is there: row 3 went to the first page.
        _page(answer, [_row(4), new], 4, last=True, served=NOW + timedelta(seconds=4)),
        _page(answer, [_row(2), _row(3)], 4, last=False, served=later),
        _page(answer, [_row(4), new], 4, last=True, served=later),
    ]
    assert [int(row.id) for row in elsewhere.voucherlist()] == [1, 2, 3, 4, 5]
    assert len(server.seen) == 4


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[LexofficeSession, LexofficeSession]]:
    """Two organisations of one provider."""
    with Sandbox(data_dir=tmp_path / "sandbox") as box:
        provider, sessions = Provider.discover(box.url), []
        for profile, person in (("a", "demo"), ("b", "kanzlei")):
            attempt = LexofficeLogin("lexoffice-nb", "http://127.0.0.1:51234/callback", provider=provider)
            attempt.handle_callback(sign_in(attempt.get_login_url(), person))
            sessions.append(LexofficeSession.from_login(attempt, profile=profile))
        yield sessions[0], sessions[1]
        for session in sessions:
            session.forget()


def test_what_was_counted_of_one_account_is_not_given_as_anothers(
    two: tuple[LexofficeSession, LexofficeSession],
) -> None:
    mine, others = two
    of_others = {row.id for row in others.voucherlist()}
    listing = mine.voucherlist()
    assert len(listing) != len(of_others)
    with mine.using("b"):
        assert len(listing) == len(of_others)
        assert {row.id for row in listing} == of_others
    assert of_others.isdisjoint(row.id for row in listing)


def test_a_list_that_was_begun_with_one_account_does_not_go_on_with_another(
    two: tuple[LexofficeSession, LexofficeSession],
) -> None:
    mine, others = two
    of_others = {row.id for row in others.voucherlist()}
    rows = iter(mine.voucherlist())
    got = [next(rows).id]
    with mine.using("b"), pytest.raises(SignedOut) as caught:
        got.extend(row.id for row in rows)
    assert caught.value.code == "listing_other_account"
    got += [row.id for row in rows]  # with its own again, it goes on where it was
    assert of_others.isdisjoint(got)
    assert len(got) == len(mine.voucherlist())


def test_a_files_name_is_harmless_in_the_error_about_it(elsewhere: LexofficeSession, tmp_path: Path) -> None:
    for name in ("\x1b[31m\u202efdp.exe", "www.evil.example\x1b]0;.pdf"):
        with pytest.raises(Invalid) as caught:
            elsewhere.files.upload(tmp_path / name)
        assert not {"\x1b", "\u202e"} & set(str(caught.value))
        assert "www.evil" not in str(caught.value)


def _frames(error: BaseException) -> Iterator[object]:
    trace = error.__traceback__
    while trace:
        if "/lexoffice_nb/" in trace.tb_frame.f_code.co_filename:
            yield from trace.tb_frame.f_locals.values()
        trace = trace.tb_next


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_token_that_the_server_repeats_is_in_no_error_even_if_another_is_in_use_by_now(
    status: int, elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    token = elsewhere.tokens.access_token
    said = {"message": f"not {token.reveal()}"}
    server.answers["/v1/x"] = [answer(status, json.dumps(said).encode(), {"X-Request-Id": token.reveal()}, 1.0)]
    renewing = threading.Timer(0.4, lambda: elsewhere._source.renew(token))
    renewing.start()
    with pytest.raises(ApiError) as caught:
        elsewhere.post("/v1/x", json={})
    renewing.join()
    assert elsewhere.tokens.access_token.reveal() != token.reveal()
    assert token.reveal() not in str(caught.value) + repr(vars(caught.value))
    for each in _frames(caught.value):
        assert not isinstance(each, ApiResponse)


def test_a_repetition_that_waits_ends_with_the_log_out(elsewhere: LexofficeSession, server: Any, answer: Any) -> None:
    server.answers["/v1/x"] = [answer(503, b"", {"Retry-After": "30"})]
    leaving = threading.Timer(0.3, elsewhere.forget)
    leaving.start()
    begun = time.monotonic()
    with pytest.raises(SignedOut):
        elsewhere.get("/v1/x")
    leaving.join()
    assert time.monotonic() - begun < 5
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_redirect_of_a_write_is_not_followed_and_says_that_it_may_have_been_applied(
    elsewhere, server, answer, method, status
):
    server.answers["/v1/x"] = [answer(status, headers={"Location": "/v1/y"})]
    server.answers["/v1/y"] = [answer(200)]
    with pytest.raises(ServerTrouble) as refused:
        elsewhere.request(method, "/v1/x", json={"a": 1})
    assert refused.value.may_have_been_applied
    assert len(refused.value._render_traceback_()) == 2
    assert [seen.path for seen in server.seen] == ["/v1/x"]
