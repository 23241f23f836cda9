"""Lists of any length: complete, without anything twice, also while rows change underneath."""

from __future__ import annotations

import warnings
from collections import Counter
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from IPython.lib.pretty import pretty

from lexoffice_nb.api.listing import MOST_READINGS, ListingMoved
from lexoffice_nb.api.records import BERLIN
from lexoffice_nb.errors import Invalid, NotAllowed, ServerTrouble
from lexoffice_nb.sandbox import Sandbox, SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lexoffice_nb import LexofficeSession

MANY = 12_345


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose list of vouchers has exactly so many rows."""
    folder = tmp_path_factory.mktemp("many") / "data"
    with Sandbox(data_dir=folder) as box:
        drawn = len(box.voucher_rows["demo"])
    with Sandbox(data_dir=folder, settings=SandboxSettings(extra_vouchers=MANY - drawn)) as box:
        yield box


@pytest.fixture
def requests_of(request: pytest.FixtureRequest) -> Callable[[Sandbox], int]:
    """How many requests of the list came to a sandbox since the test began."""
    counted: dict[int, int] = {}

    def count(box: Sandbox) -> int:
        seen = sum(each.path == "/v1/voucherlist" for each in box.requests)
        before = counted.setdefault(id(box), seen)
        return seen - before

    return count


def _twice(ids: list[str]) -> list[str]:
    return [each for each, times in Counter(ids).items() if times > 1]


def test_12345_vouchers_over_the_window_come_completely_and_once(
    many: Sandbox, signed_in: Any, requests_of: Callable[[Sandbox], int]
) -> None:
    session = signed_in(many)
    requests_of(many)
    listing = session.voucherlist()
    ids = [row.id for row in listing]
    assert len(ids) == len(set(ids)) == MANY
    pages = -(-MANY // 250)
    splits = len(listing.windows) - 1
    assert requests_of(many) <= pages + 3 * splits
    assert len(listing) == MANY


def test_each_page_of_several_windows_is_asked_for_once_where_rows_could_leave_the_list(
    many: Sandbox, signed_in: Any, requests_of: Callable[[Sandbox], int]
) -> None:
    session = signed_in(many)
    requests_of(many)
    listing = session.voucherlist(voucherDateFrom="1999-01-01")
    assert len(list(listing)) == MANY
    splits = len(listing.windows) - 1
    assert splits >= 1
    assert requests_of(many) <= -(-MANY // 250) + 4 * splits + 2


def test_its_first_rows_take_one_request_in_any_order_however_long_it_is(
    many: Sandbox, signed_in: Any, requests_of: Callable[[Sandbox], int]
) -> None:
    session = signed_in(many)
    requests_of(many)
    newest = session.voucherlist(sort="voucherDate,DESC")[:10]
    days = [row.voucherDate for row in newest]
    assert (len(days), requests_of(many)) == (10, 1)
    assert days == sorted(days, reverse=True)
    assert [row.id for row in session.voucherlist()[240:260]] == [row.id for row in session.voucherlist()][240:260]


def test_its_rows_come_while_it_is_read_and_not_after(
    many: Sandbox, signed_in: Any, requests_of: Callable[[Sandbox], int]
) -> None:
    rows = iter(signed_in(many).voucherlist(voucherType="invoice", createdDateFrom=date(2025, 1, 1)))
    requests_of(many)
    next(rows)
    assert requests_of(many) == 1


def test_12345_vouchers_of_which_50_change_during_the_listing_come_completely_and_once(
    many: Sandbox, signed_in: Any
) -> None:
    rows_of_the_box, ids = many.voucher_rows["demo"], []
    for number, row in enumerate(signed_in(many).voucherlist()):
        ids.append(row.id)
        if number % 240 == 0 and len(ids) // 240 < 50:
            # Some that were given already, and some that are still to come.
            other = ids[number // 2] if number % 480 else row.id
            rows_of_the_box.change_status(other, "paid")
    assert not _twice(ids)
    assert len(ids) == MANY


def test_rows_that_leave_a_list_while_it_is_read_take_no_other_row_with_them(many: Sandbox, signed_in: Any) -> None:
    session = signed_in(many)
    rows_of_the_box, given, gone = many.voucher_rows["demo"], [], []
    wanted = {"voucherStatus": "paid", "voucherType": "invoice"}
    before = {row.id for row in session.voucherlist(**wanted)}
    assert len(before) > 500
    for row in session.voucherlist(**wanted):
        given.append(row.id)
        if len(given) in (100, 300, 400):  # each later row moves one place up
            gone.append(given[len(given) // 100])
            rows_of_the_box.change_status(gone[-1], "voided")
    assert len(gone) == 3
    assert not _twice(given)
    assert before - set(given) <= set(gone)


def test_a_row_that_leaves_while_another_comes_takes_no_other_row_with_it(many: Sandbox, signed_in: Any) -> None:
    """The total is the same before and after, so only a look at what has changed can tell."""
    session = signed_in(many)
    rows_of_the_box, given = many.voucher_rows["demo"], []
    wanted = {"voucherStatus": "paid", "voucherType": "invoice"}
    before = [row.id for row in session.voucherlist(**wanted)]
    other = [row.id for row in session.voucherlist(voucherStatus="voided", voucherType="invoice")][-1]
    for row in session.voucherlist(**wanted):
        given.append(row.id)
        if len(given) == 200:
            rows_of_the_box.change_status(before[0], "voided")
            rows_of_the_box.change_status(other, "paid")
    assert not _twice(given)
    assert set(before) - set(given) <= {before[0]}


def test_a_row_that_is_deleted_takes_no_other_row_with_it(many: Sandbox, signed_in: Any) -> None:
    session = signed_in(many)
    rows_of_the_box, given = many.voucher_rows["demo"], []
    listing = session.voucherlist(
        voucherType="invoice", voucherStatus="any", createdDateFrom=_day_with(session, 600, voucherType="invoice")
    )
    before = [row.id for row in listing]
    gone = rows_of_the_box.get(before[10])
    try:
        for row in listing:
            given.append(row.id)
            if len(given) == 200:
                rows_of_the_box.remove(gone["id"])
        assert not _twice(given)
        assert set(before) - set(given) <= {gone["id"]}
    finally:
        rows_of_the_box.put(gone)


def _day_with(session: LexofficeSession, least: int, **wanted: str) -> date:
    """The newest day, to the month, since which at least so many rows were created."""
    day = datetime.now(BERLIN).date()
    for weeks in range(20, 800, 20):
        if len(session.voucherlist(createdDateFrom=day - timedelta(weeks=weeks), **wanted)) >= least:
            return day - timedelta(weeks=weeks)
    raise AssertionError("too few rows")


def test_an_interrupted_reading_goes_on_where_it_was(many: Sandbox, signed_in: Any) -> None:
    session = signed_in(many)
    whole = [row.id for row in session.voucherlist(voucherType="creditnote")]
    assert len(whole) > 250
    rows, got = iter(session.voucherlist(voucherType="creditnote")), []
    got += [next(rows).id for _ in range(240)]
    session.max_attempts = 1
    many.faults.next("500")
    with pytest.raises(ServerTrouble):
        got.extend(row.id for row in rows)
    got += [row.id for row in rows]
    assert got == whole


def test_a_listing_of_2500_is_complete_under_a_storm_of_faults(many: Sandbox, signed_in: Any) -> None:
    """10 % of the answers are 500, and 5 % each 504, 429 and cut connections."""
    session = signed_in(many)
    wanted = {"createdDateFrom": _day_with(session, 2_500)}
    quiet = [row.id for row in session.voucherlist(**wanted)]
    many.faults.share_500, many.faults.share_504 = 0.10, 0.05
    many.faults.share_429, many.faults.share_cut = 0.05, 0.05
    many.faults.done.clear()
    try:
        for _ in range(2):
            assert [row.id for row in session.voucherlist(**wanted)] == quiet
    finally:
        many.faults.clear()
    assert len(quiet) >= 2_500
    assert many.faults.done.total() >= 2


def test_a_list_comes_in_the_order_that_is_asked_for(session: LexofficeSession) -> None:
    days = [row.voucherDate for row in session.voucherlist(sort="voucherDate,DESC")]
    assert len(days) > 250
    assert days == sorted(days, reverse=True)


def test_an_order_over_several_windows_is_refused_and_not_lost(many: Sandbox, signed_in: Any) -> None:
    with pytest.raises(Invalid, match="Leave out sort") as caught:
        next(iter(signed_in(many).voucherlist(sort="voucherDate,DESC")))
    assert len(caught.value._render_traceback_()) == 2


def test_a_list_that_cannot_be_split_says_so_instead_of_losing_rows(
    elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    server.answers["/v1/contacts"] = [answer.of({"content": [{"id": "1"}], "totalElements": 10_000, "last": False})]
    with pytest.raises(Invalid, match="More than 10000 rows") as caught:
        list(elsewhere.contacts())
    assert len(caught.value._render_traceback_()) == 2


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"content": None, "totalElements": 0, "last": True},
        {"content": [1], "totalElements": 1, "last": True},
        {"content": [], "totalElements": "0", "last": True},
        {"content": [], "totalElements": 0.5, "last": True},
        {"content": [], "totalElements": 0},
        {"content": [], "totalElements": True, "last": True},
    ],
)
def test_an_answer_that_is_no_page_is_an_error_and_no_empty_list(
    body: Any, elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    server.answers["/v1/contacts"] = [answer.of(body)]
    with pytest.raises(ServerTrouble, match="no page of a list") as caught:
        list(elsewhere.contacts())
    assert len(caught.value._render_traceback_()) == 2


def test_a_server_that_never_ends_a_list_is_not_asked_for_ever(
    elsewhere: LexofficeSession, server: Any, answer: Any
) -> None:
    page = {"content": [{"id": "1"}, {"id": "2"}], "totalElements": 3, "last": False}
    server.answers["/v1/contacts"] = [answer.of(page)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = list(elsewhere.contacts())
    assert [row.id for row in rows] == ["1", "2"]
    assert [each.category for each in caught] == [ListingMoved]
    assert len(server.seen) <= 4 * MOST_READINGS


def test_len_and_list_ask_for_the_first_page_once(session: LexofficeSession, box: Sandbox) -> None:
    listing = session.voucherlist(voucherStatus="open")
    before = len(box.requests)
    rows = list(listing)
    assert len(rows) == len(listing) == listing.total
    assert len(box.requests) - before == 1


def test_first_gives_one_row_or_none(session: LexofficeSession) -> None:
    assert session.voucherlist().first().id
    assert session.voucherlist(voucherDateFrom="1999-01-01", voucherDateTo="1999-01-02").first() is None
    assert len(session.voucherlist(voucherDateFrom="1999-01-01", voucherDateTo="1999-01-02")) == 0


def test_a_list_shows_its_first_rows_and_how_many_there_are(session: LexofficeSession) -> None:
    listing = session.voucherlist()
    html = listing._repr_html_()
    assert html is not None
    assert f"/ {len(listing)}" in html
    assert repr(listing) == f"<voucherlist.list, {len(listing)} rows>"


def test_a_list_that_is_refused_says_so_once_in_a_notebook(session: LexofficeSession) -> None:
    listing = session.voucherlist(voucherStatus=["open", "overdue"])
    with pytest.raises(Invalid):
        pretty(listing)
    assert listing._repr_html_() is None


def test_a_scope_that_is_missing_is_named(box: Sandbox, signed_in: Any) -> None:
    session = signed_in(box, scopes="openid profile invoice.read")
    with pytest.raises(NotAllowed, match=r"contact\.read") as caught:
        list(session.contacts())
    assert len(caught.value._render_traceback_()) == 2
    assert "--scope openid profile invoice.read contact.read –" in caught.value.remedy


def test_arrays_come_as_lists_whatever_envelope_they_are_in(session: LexofficeSession) -> None:
    assert len(session.countries()) > 200
    assert session.event_subscriptions() == []


def test_days_of_the_first_stay_on_the_first(session: LexofficeSession) -> None:
    firsts = [row.voucherDate for row in session.voucherlist() if row.voucherDate.day == 1]
    assert {moment.utcoffset() for moment in firsts} == {timedelta(hours=1), timedelta(hours=2)}
