"""What a caller gives is checked before anything is sent, and written as the vendor wants it."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lexoffice_nb.api.arguments import UnknownValue
from lexoffice_nb.api.endpoints import OPERATIONS, Operation, operation_at, resources
from lexoffice_nb.errors import Conflict, Invalid, LexofficeError, NoMember

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb import LexofficeSession

ID = "e9066f04-8cc7-4616-93f8-ac9ecc8479c8"
EMPTY = {"content": [], "totalElements": 0, "last": True}


@pytest.fixture
def asked(elsewhere: LexofficeSession, server: Any, answer: Any) -> Callable[[str], dict[str, str]]:
    """The query of the one request that came."""
    for path in ("/v1/voucherlist", "/v1/contacts", "/v1/vouchers", "/v1/articles"):
        server.answers[path] = [answer.of(EMPTY)]
    server.answers["/v1/invoices"] = [answer.of({"id": ID, "version": 1}, 201)]
    server.answers[f"/v1/contacts/{ID}"] = [answer.of({"id": ID, "version": 3, "note": "old", "roles": {}})]

    def query() -> dict[str, str]:
        (seen,) = server.seen
        return dict(parse_qsl(urlsplit(seen.path).query, keep_blank_values=True))

    return query


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.voucherlist(voucher_type="invoice"), "There is: voucherType."),
        (lambda s: s.voucherlist(colour="red"), "voucherlist.list has no filter colour"),
        (lambda s: s.contacts(nmae="x"), "There is: name."),
        (lambda s: s.payments.get(ID, depth=3), "payments.get has no filter depth"),
        (lambda s: s.voucherlist(voucherDateFrom="01.03.2025"), "01.03.2025 is no day for voucherDateFrom"),
        (lambda s: s.voucherlist(voucherDateFrom="2025-02-30"), "2025-02-30 is no day"),
        (lambda s: s.voucherlist(voucherDateFrom=datetime(2025, 3, 1)), "is no day for voucherDateFrom"),  # noqa: DTZ001
        (lambda s: s.voucherlist(voucherDateFrom=20250301), "is no day for voucherDateFrom"),
        (lambda s: s.voucherlist(contactId="Muster GmbH"), "Muster GmbH is no id for contactId"),
        (lambda s: s.voucherlist(archived="yes"), "It takes: True or False."),
        (lambda s: s.voucherlist(voucherStatus=7), "7 is no value for voucherStatus"),
        (lambda s: s.voucherlist(voucherStatus=[]), "is no value for voucherStatus"),
        (lambda s: s.contacts(name="ab"), "at least 3 characters"),
        (lambda s: s.invoices.get(""), "'' is no id for id"),
        (lambda s: s.contacts(number="10 001"), "a whole number"),
        (lambda s: s.vouchers.list(), "vouchers.list needs voucherNumber"),
        (lambda s: s.dunnings.create(title="x"), "dunnings.create needs precedingSalesVoucherId"),
        (lambda s: s.invoices.get("RE1001"), "RE1001 is no id for id: ids are UUIDs"),
        (lambda s: s.invoices.get("../profile"), "is no id for id"),
        (lambda s: s.invoices.get(None), "is no id for id"),
        (lambda s: s.invoices.create(), "is no document but nothing"),
        (lambda s: s.invoices.create("RE1001"), "is no document but str"),
        (lambda s: s.invoices.create(title="x", finalize="yes"), "yes is no value for finalize"),
        (lambda s: s.invoices.create(title="x", finalize=1), "1 is no value for finalize"),
        (lambda s: s.invoices.file(ID, "docx"), "no file of the format docx"),
        (lambda s: s.quotations.file(ID, format="xml"), "There is: pdf."),
        (lambda s: s.files.upload("receipt.docx"), "It takes: pdf, jpg, png, xml."),
        (lambda s: s.files.upload("/nowhere/receipt.pdf"), "receipt.pdf cannot be read"),
    ],
)
def test_bad_input_is_refused_in_two_lines_before_anything_is_sent(
    call: Callable[[Any], Any], words: str, elsewhere: LexofficeSession, server: Any
) -> None:
    with pytest.raises(Invalid) as caught:
        call(elsewhere)
    assert words in str(caught.value)
    assert len(caught.value._render_traceback_()) == 2
    assert "Nothing was sent" in str(caught.value)
    assert not server.seen


def test_an_upload_of_more_than_5_mb_is_refused_without_being_read(
    elsewhere: LexofficeSession, server: Any, tmp_path: Any
) -> None:
    large = tmp_path / "scan.pdf"
    with large.open("wb") as file:
        file.truncate(5 * 2**20 + 1)
    with pytest.raises(Invalid, match="larger than 5 MB"):
        elsewhere.files.upload(large)
    assert not server.seen


@pytest.mark.parametrize(
    ("resource", "name"), [("invoices", "update"), ("invoices", "delete"), ("invoices", "list"), ("contacts", "delete")]
)
def test_an_operation_that_the_vendor_does_not_offer_does_not_exist(
    resource: str, name: str, elsewhere: LexofficeSession
) -> None:
    with pytest.raises(NoMember, match=f"offers no {name} for {resource}"):
        getattr(getattr(elsewhere, resource), name)
    assert not hasattr(getattr(elsewhere, resource), name)
    assert name not in dir(getattr(elsewhere, resource))


def test_a_misspelt_resource_is_named_with_the_nearest_one(elsewhere: LexofficeSession) -> None:
    with pytest.raises(AttributeError, match="There is invoices") as caught:
        _ = elsewhere.invoces
    assert len(caught.value._render_traceback_()) == 2  # type: ignore[attr-defined]


def test_completion_offers_the_resources_and_their_operations(elsewhere: LexofficeSession) -> None:
    assert set(resources()) <= set(dir(elsewhere))
    assert dir(elsewhere.contacts) == ["create", "get", "list", "update"]


def test_what_has_neither_a_list_nor_one_thing_alone_cannot_be_called(elsewhere: LexofficeSession) -> None:
    with pytest.raises(TypeError, match="one of these behind it: create, get, file"):
        elsewhere.invoices()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.voucherlist("invoice"), "Call it as voucherlist.list(*, voucherType='any'"),
        (lambda s: s.invoices.get(), "Call it as invoices.get(id)"),
        (lambda s: s.contacts.get(ID, ID), "Call it as contacts.get(id)"),
        (lambda s: s.invoices.file(ID, to_="."), "Call it as invoices.file(id, format='pdf', *, to=None)"),
        (lambda s: s.countries(1), "Call it as countries.list()"),
        (lambda s: s.invoices(), "invoices alone does not say what to do."),
        (lambda s: s.files.upload(b"%PDF"), "by its path, and not as bytes"),
        (lambda s: s.voucherlist()[0], "rows.first() or rows[:10]"),
        (lambda s: s.voucherlist()[-3:], "rows.first() or rows[:10]"),
    ],
)
def test_a_wrong_call_is_a_type_error_of_two_lines(
    call: Callable[[Any], Any], words: str, elsewhere: LexofficeSession, server: Any
) -> None:
    with pytest.raises(TypeError) as caught:
        call(elsewhere)
    assert words in str(caught.value)
    assert isinstance(caught.value, LexofficeError)
    assert len(caught.value._render_traceback_()) == 2
    assert not server.seen


def test_a_resource_that_can_be_called_has_the_help_of_what_it_does(elsewhere: LexofficeSession) -> None:
    assert inspect.signature(elsewhere.voucherlist) == inspect.signature(elsewhere.voucherlist.list)
    assert inspect.signature(elsewhere.voucherlist.__call__) == inspect.signature(elsewhere.voucherlist.list)
    assert "voucherDateFrom: " in str(elsewhere.voucherlist.__doc__)


@pytest.mark.parametrize(
    ("member", "option"), [("finalise", "finalize"), ("Finalize", "finalize"), ("preceeding", "preceding")]
)
def test_a_misspelt_option_is_no_member_of_the_document(
    member: str, option: str, elsewhere: LexofficeSession, server: Any
) -> None:
    with pytest.raises(Invalid, match=f"The option is called {option}"):
        elsewhere.invoices.create(title="x", **{member: True})
    assert not server.seen


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.call)
def test_every_operation_has_a_signature_and_help_from_the_table(
    operation: Operation, elsewhere: LexofficeSession
) -> None:
    method = getattr(getattr(elsewhere, operation.resource), operation.name)
    assert list(inspect.signature(method).parameters)[: len(operation.places)] == list(operation.places)
    assert operation.path in method.__doc__
    assert ("partner contract" in method.__doc__) == operation.partner
    assert operation_at(operation.method, operation.path.format(**dict.fromkeys(operation.places, ID))) is operation


def test_dates_go_out_as_days_and_flags_as_words(
    asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession
) -> None:
    late = datetime(2025, 2, 28, 23, 30, tzinfo=UTC)  # past midnight in Berlin
    list(elsewhere.voucherlist(voucherDateFrom=date(2025, 1, 1), voucherDateTo=late, archived=False))
    query = asked()
    days = (query["voucherDateFrom"], query["voucherDateTo"])
    assert (*days, query["archived"]) == ("2025-01-01", "2025-03-01", "false")
    assert (query["voucherType"], query["voucherStatus"]) == ("any", "any")
    assert (query["size"], query["page"], query["sort"]) == ("250", "0", "createdDate,ASC")


def test_several_values_of_a_choice_are_joined_by_commas(
    asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession
) -> None:
    list(elsewhere.voucherlist(voucherType=["invoice", "creditnote"], voucherStatus="open,paid"))
    assert (asked()["voucherType"], asked()["voucherStatus"]) == ("invoice,creditnote", "open,paid")


@pytest.mark.parametrize("call", [lambda s: s.voucherlist.list, lambda s: s.voucherlist])
def test_an_unknown_value_of_a_choice_is_sent_with_a_warning_at_the_line_that_gave_it(
    call: Callable[[Any], Any], asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession
) -> None:
    with pytest.warns(UnknownValue, match="selfbilling is no value of voucherType") as caught:
        list(call(elsewhere)(voucherType="selfbilling"))
    assert caught[0].filename == __file__
    assert asked()["voucherType"] == "selfbilling"


def test_an_order_without_its_way_is_known(asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession) -> None:
    list(elsewhere.voucherlist(sort="voucherDate"))
    assert asked()["sort"] == "voucherDate"


def test_searched_text_is_html_escaped_and_then_url_encoded(
    asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession, server: Any
) -> None:
    list(elsewhere.contacts(name="johnson & partner <x>"))
    assert "name=johnson%20%26amp%3B%20partner%20%26lt%3Bx%26gt%3B" in server.seen[0].path


def test_the_text_of_other_filters_is_url_encoded_only(
    asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession, server: Any
) -> None:
    list(elsewhere.articles(articleNumber="A&B/1"))
    assert "articleNumber=A%26B%2F1" in server.seen[0].path


def test_a_document_is_a_draft_unless_finalize_is_true(
    asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession, server: Any
) -> None:
    elsewhere.invoices.create({"title": "Rechnung"}, finalize=False)
    assert asked() == {}
    server.seen.clear()
    elsewhere.invoices.create({"title": "Rechnung"}, finalize=True, preceding=ID)
    assert asked() == {"finalize": "true", "precedingSalesVoucherId": ID}


def test_money_and_days_of_a_document_are_written_exactly(
    asked: Callable[[], dict[str, str]], elsewhere: LexofficeSession, server: Any
) -> None:
    elsewhere.invoices.create(voucherDate=date(2025, 7, 1), totalPrice={"totalGrossAmount": Decimal("119.70")})
    sent = server.seen[0].body.decode()
    assert '"voucherDate":"2025-07-01T00:00:00.000+02:00"' in sent
    assert '"totalGrossAmount":119.70' in sent


def test_an_update_keeps_what_is_not_changed(elsewhere: LexofficeSession, server: Any, asked: object) -> None:
    elsewhere.contacts.update(ID, version=3, note="new")
    read, written = server.seen
    assert (read.method, written.method) == ("GET", "PUT")
    assert written.body == f'{{"id":"{ID}","version":3,"note":"new","roles":{{}}}}'.encode()


def test_an_update_of_another_version_is_a_conflict_and_writes_nothing(
    elsewhere: LexofficeSession, server: Any, asked: object
) -> None:
    with pytest.raises(Conflict, match="is version 3 now, and not 2") as caught:
        elsewhere.contacts.update(ID, version=2, note="new")
    assert len(caught.value._render_traceback_()) == 2
    assert [seen.method for seen in server.seen] == ["GET"]


def test_a_record_that_was_written_can_be_changed_and_written_again(quiet_box: Any, signed_in: Any) -> None:
    session = signed_in(quiet_box, scopes="openid profile invoice.write contact.read")
    made = session.contacts.create(version=0, roles={"customer": {}}, company={"name": "Nochmal GmbH"})
    contact = session.contacts.get(made.id)
    for note in ("one", "two"):
        contact.note = note
        session.contacts.update(contact)
    session.contacts.update(contact, note="three")
    assert (contact.note, contact.version) == ("three", session.contacts.get(made.id).version)


def test_a_record_is_written_back_as_it_is(elsewhere: LexofficeSession, server: Any, asked: object) -> None:
    contact = elsewhere.contacts.get(ID)
    contact.note = "new"
    server.seen.clear()
    elsewhere.contacts.update(contact)
    (written,) = server.seen
    assert (written.method, written.path) == ("PUT", f"/v1/contacts/{ID}")
    assert b'"note":"new"' in written.body
