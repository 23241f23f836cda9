"""Each row of the table of endpoints, called as people call it, against a real sandbox; and the page made of that.

`--api-page=docs/api.md` (`make docs`) writes the tables of the page instead of comparing them.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider
from lexoffice_nb.api.endpoints import OPERATIONS, Operation
from lexoffice_nb.api.explanations import tables
from lexoffice_nb.api.listing import Listing
from lexoffice_nb.api.records import Record
from lexoffice_nb.errors import NotAllowed
from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.sandbox.scopes import PARTNER_SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
BEGINS = "<!-- From here on the tests have written it (`make docs`); nobody edits it. -->\n"
PAPER_CALLBACK = "http://127.0.0.1:51234/callback"
PARTNER_CALLBACK = "http://127.0.0.1:8765/callback"
PAPER_SCOPES = "openid profile email invoice.read invoice.write contact.read"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
DAY = date(2025, 3, 3)
NOON = datetime(2025, 3, 3, 11, tzinfo=UTC)
EXPENSE = "16d04a28-fd91-11e1-a21f-0800200c9a66"
PDF = b"%PDF-1.7\n% A receipt of the tests\n"


def document(**more: Any) -> dict[str, Any]:
    """A sales document of 119.70 euros."""
    price = {"currency": "EUR", "grossAmount": Decimal("119.70"), "taxRatePercentage": 19}
    line = {"type": "custom", "name": "Beratung", "quantity": 1, "unitName": "Stunde", "unitPrice": price}
    return {
        "voucherDate": DAY,
        "address": {"name": "Müller & Söhne", "countryCode": "DE"},
        "lineItems": [line],
        "totalPrice": {"currency": "EUR"},
        "taxConditions": {"taxType": "gross"},
        "shippingConditions": {"shippingType": "service", "shippingDate": DAY},
        **more,
    }


def voucher(**more: Any) -> dict[str, Any]:
    """A purchase of 11.90 euros."""
    item = {"amount": Decimal("11.90"), "taxAmount": Decimal("1.90"), "taxRatePercent": 19, "categoryId": EXPENSE}
    return {
        "type": "purchaseinvoice",
        "voucherDate": DAY,
        "totalGrossAmount": Decimal("11.90"),
        "totalTaxAmount": Decimal("1.90"),
        "taxType": "gross",
        "useCollectiveContact": True,
        "voucherItems": [item],
        "version": 0,
        **more,
    }


def contact(**more: Any) -> dict[str, Any]:
    return {"version": 0, "roles": {"customer": {}}, "company": {"name": "Möbel & Mehr GmbH"}, **more}


def article(**more: Any) -> dict[str, Any]:
    price = {"netPrice": Decimal("80.5"), "leadingPrice": "NET", "taxRate": 19}
    return {"title": "Beratung", "type": "SERVICE", "unitName": "Stunde", "price": price, **more}


# The sandbox calls nobody; it only looks whether the address could be called.
EVENT = {"eventType": "invoice.created", "callbackUrl": "https://hooks.example.org/lexoffice"}


class Call(NamedTuple):
    """What an operation is called with."""

    positions: tuple[Any, ...]
    names: dict[str, Any]


def given(*positions: Any, **names: Any) -> Call:
    return Call(positions, names)


class Exercise(NamedTuple):
    """How an operation is called, and what is true of its result."""

    call: Callable[[World], Call]
    true: Callable[[Any, World], object]


class World:
    """A sandbox, two sessions on it, and what the exercises need to be there: made when it is first asked for."""

    def __init__(self, box: Sandbox, folder: Path) -> None:
        self.box, self.folder = box, folder
        paper = LexofficeLogin("lexoffice-nb", PAPER_CALLBACK, PAPER_SCOPES.split(), Provider.discover(box.url))
        self.paper = self._signed_in(paper)
        known = box.partner_client
        provider = Provider(
            name="partner",
            title="Partner",
            authorization_endpoint=f"{box.url}/oauth2/authorize",
            token_endpoint=f"{box.url}/oauth2/token",
            revocation_endpoint=f"{box.url}/oauth2/revoke",
            api_base=box.url,
            client_authentication="client_secret_basic",
            openid=False,
        )
        partner = LexofficeLogin(known.id, PARTNER_CALLBACK, PARTNER_SCOPES, provider, client_secret=known.secret)
        self.partner = self._signed_in(partner)
        self.statuses: dict[str, int] = {}
        self._results: dict[str, tuple[Call, Any]] = {}

    @staticmethod
    def _signed_in(login: LexofficeLogin) -> LexofficeSession:
        login.handle_callback(sign_in(login.get_login_url()))
        return LexofficeSession.from_login(login)

    def close(self) -> None:
        self.paper.close()
        self.partner.close()

    def new(self, resource: str, body: Any, **flags: Any) -> str:
        return str(getattr(self.paper, resource).create(body, **flags).id)

    @functools.cached_property
    def sold(self) -> dict[str, str]:
        """A document of each kind that can be written, finalised."""
        kinds = ("invoices", "credit_notes", "order_confirmations", "delivery_notes")
        made = {kind: self.new(kind, document(), finalize=True) for kind in kinds}
        made["quotations"] = self.new("quotations", document(expirationDate=date(2025, 4, 1)), finalize=True)
        made["dunnings"] = self.new("dunnings", document(), preceding=made["invoices"])
        return made

    @functools.cached_property
    def e_invoice(self) -> str:
        """One of the books that has an XML file."""
        for row in self.paper.voucherlist(voucherType="invoice", voucherStatus="paid"):
            if self.paper.invoices.get(row.id).electronicDocumentProfile == "XRechnung":
                return str(row.id)
        raise AssertionError("no XRechnung in the books")

    @functools.cached_property
    def down_payment(self) -> str:
        return str(self.paper.voucherlist(voucherType="downpaymentinvoice", voucherStatus="paid").first().id)

    @functools.cached_property
    def template(self) -> str:
        return str(self.paper.recurring_templates.list().first().id)

    @functools.cached_property
    def contact(self) -> str:
        return self.new("contacts", contact())

    @functools.cached_property
    def banked(self) -> tuple[str, str]:
        """A contact and its bank account."""
        key = self.new("contacts", contact())
        account = {"iban": "DE02120300000000202051", "accountHolder": "Möbel & Mehr GmbH"}
        made = self.partner.contact_bank_accounts.create(key, version=1, **account)
        return key, str(made.id)

    @functools.cached_property
    def article(self) -> str:
        return self.new("articles", article(articleNumber="B-1"))

    @functools.cached_property
    def voucher(self) -> str:
        return self.new("vouchers", voucher(voucherNumber="B-4711"))

    @functools.cached_property
    def scan(self) -> Path:
        path = self.folder / "Beleg.pdf"
        path.write_bytes(PDF)
        return path

    @functools.cached_property
    def uploaded(self) -> str:
        return str(self.paper.files.upload(self.scan).id)

    @functools.cached_property
    def subscription(self) -> str:
        return self.new("event_subscriptions", EVENT)

    @functools.cached_property
    def account(self) -> str:
        return str(self.partner.finance_accounts.create(name="Giro", balance=Decimal("12.50")).financialAccountId)

    def transaction(self, **more: Any) -> dict[str, Any]:
        return {"financialAccountId": self.account, "amount": Decimal("119.70"), "bookingDate": NOON, **more}

    @functools.cached_property
    def booked(self) -> str:
        (made,) = self.partner.finance_transactions.create([self.transaction(endToEndId="E2E-1")])
        return str(made.financialTransactionId)

    @functools.cached_property
    def assigned(self) -> str:
        """A transaction of which a hint says what it pays."""
        self.partner.transaction_assignment_hint.create(voucherId=self.sold["invoices"], endToEndId="E2E-1")
        return self.booked

    @functools.cached_property
    def cash_box(self) -> str:
        made = self.partner.cash_boxes.create(name="Laden")
        self.partner.cash_boxes.add_balance(made.cashBoxId, date="2025-03-03", amount=Decimal("17.25"))
        return str(made.cashBoxId)

    def session(self, operation: Operation) -> LexofficeSession:
        return self.partner if operation.partner else self.paper

    def exercise(self, operation: Operation) -> tuple[Call, Any]:
        """Calls it once; notes with what status the sandbox answered just that request."""
        if operation.call not in self._results:
            call = EXERCISES[operation.call].call(self)
            before = len(self.box.requests)
            result = done(self.session(operation), operation, call)
            wanted = re.compile(re.sub(r"{\w+}", UUID, operation.path))
            (status,) = {
                seen.status
                for seen in self.box.requests[before:]
                if seen.method == operation.method and wanted.fullmatch(seen.path)
            }
            self.statuses[operation.call], self._results[operation.call] = status, (call, result)
        return self._results[operation.call]


def done(session: LexofficeSession, operation: Operation, call: Call) -> Any:
    result = getattr(getattr(session, operation.resource), operation.name)(*call.positions, **call.names)
    if not isinstance(result, Listing):
        return result
    rows = list(result)
    assert len(rows) == len(result)
    return rows


def is_action(result: Any, version: int = 1) -> bool:
    """Whether it is the vendor's answer to something written."""
    assert result.keys() == {"id", "resourceUri", "createdDate", "updatedDate", "version"}
    return bool(result.version == version and isinstance(result.updatedDate, datetime))


def is_pdf(result: bytes) -> bool:
    return result.startswith(b"%PDF-")


def _sales(kind: str, **more: Any) -> dict[str, Exercise]:
    mail = {"recipients": ["a@example.org"], "subject": "Ihre Unterlagen"}
    flags = {} if kind in ("quotations", "dunnings") else {"finalize": True}

    def create(w: World) -> Call:
        preceding = {"preceding": w.sold["invoices"]} if kind == "dunnings" else {}
        return given(**document(**more), **flags, **preceding)

    def created(result: Record, w: World) -> bool:
        written = getattr(w.paper, kind).get(result.id)
        assert written.voucherStatus == ("open" if flags else "draft")
        assert written.voucherDate.date() == DAY
        return is_action(result, written.version)

    def read(result: Record, w: World) -> bool:
        total = result.totalPrice.totalGrossAmount == Decimal("119.70") if kind != "delivery_notes" else True
        return bool(result.id == w.sold[kind] and total and result.lineItems[0].name == "Beratung")

    return {
        f"{kind}.create": Exercise(create, created),
        f"{kind}.get": Exercise(lambda w: given(w.sold[kind]), read),
        f"{kind}.file": Exercise(lambda w: given(w.sold[kind]), lambda result, w: is_pdf(result)),
        f"{kind}.document": Exercise(
            lambda w: given(w.sold[kind]),
            lambda result, w: is_pdf(w.paper.files.get(result.documentFileId)),
        ),
        f"{kind}.send_mail": Exercise(
            lambda w: given(w.sold[kind], **mail), lambda result, w: result.id == w.sold[kind]
        ),
    }


EXERCISES: dict[str, Exercise] = {
    "profile.get": Exercise(lambda w: given(), lambda result, w: result.companyName == w.paper.account.company),
    "voucherlist.list": Exercise(
        lambda w: given(voucherType="invoice", voucherStatus=["paid"], createdDateFrom=date(2020, 1, 1)),
        lambda rows, w: rows and all((row.voucherType, row.voucherStatus) == ("invoice", "paid") for row in rows),
    ),
    **_sales("invoices"),
    "invoices.interaction_status": Exercise(
        lambda w: given(w.sold["invoices"]), lambda result, w: result.id == w.sold["invoices"]
    ),
    "invoices.set_interaction_status": Exercise(
        lambda w: given(w.sold["invoices"], status="accepted"),
        lambda result, w: w.partner.invoices.interaction_status(w.sold["invoices"]).status == "accepted",
    ),
    **_sales("credit_notes"),
    **_sales("quotations", expirationDate=date(2025, 4, 1)),
    **_sales("order_confirmations"),
    **_sales("delivery_notes"),
    **_sales("dunnings"),
    "down_payment_invoices.get": Exercise(
        lambda w: given(w.down_payment), lambda result, w: result.id == w.down_payment and result.lineItems
    ),
    "down_payment_invoices.file": Exercise(lambda w: given(w.down_payment), lambda result, w: is_pdf(result)),
    "recurring_templates.list": Exercise(lambda w: given(), lambda rows, w: w.template in [row.id for row in rows]),
    "recurring_templates.get": Exercise(
        lambda w: given(w.template), lambda result, w: result.id == w.template and result.lineItems
    ),
    "vouchers.list": Exercise(
        lambda w: w.voucher and given(voucherNumber="B-4711"), lambda rows, w: [row.id for row in rows] == [w.voucher]
    ),
    "vouchers.get": Exercise(
        lambda w: given(w.voucher),
        lambda result, w: (result.id, result.totalGrossAmount) == (w.voucher, Decimal("11.90")),
    ),
    "vouchers.create": Exercise(lambda w: given(voucher(voucherNumber="B-1")), lambda result, w: is_action(result)),
    "vouchers.update": Exercise(
        lambda w: given(w.new("vouchers", voucher(voucherNumber="B-2")), version=1, remark="Bahnfahrt"),
        lambda result, w: is_action(result, 2) and w.paper.vouchers.get(result.id).remark == "Bahnfahrt",
    ),
    "vouchers.upload": Exercise(
        lambda w: given(w.new("vouchers", voucher(voucherNumber="B-3")), w.scan),
        lambda result, w: w.paper.vouchers.get(result.voucherId).files == [result.id],
    ),
    "contacts.list": Exercise(
        lambda w: w.contact and given(name="Möbel & Mehr", customer=True),
        lambda rows, w: rows and all(row.company.name == "Möbel & Mehr GmbH" for row in rows),
    ),
    "contacts.get": Exercise(lambda w: given(w.contact), lambda result, w: result.id == w.contact),
    "contacts.create": Exercise(lambda w: given(contact()), lambda result, w: is_action(result)),
    "contacts.update": Exercise(
        lambda w: given(w.new("contacts", contact(note="alt")), {"note": "neu"}, version=1),
        lambda result, w: (
            is_action(result, 2)
            and (w.paper.contacts.get(result.id).note, w.paper.contacts.get(result.id).company.name)
            == ("neu", "Möbel & Mehr GmbH")
        ),
    ),
    "contact_bank_accounts.list": Exercise(
        lambda w: given(w.banked[0]), lambda rows, w: [row.id for row in rows] == [w.banked[1]]
    ),
    "contact_bank_accounts.get": Exercise(
        lambda w: given(*w.banked), lambda result, w: result.iban == "DE02120300000000202051"
    ),
    "contact_bank_accounts.create": Exercise(
        lambda w: given(w.new("contacts", contact()), iban="DE02120300000000202051", version=1),
        lambda result, w: is_action(result, 2),
    ),
    "contact_bank_accounts.update": Exercise(
        lambda w: given(*w.banked, bankName="Bank", version=w.partner.contact_bank_accounts.get(*w.banked)["version"]),
        lambda result, w: w.partner.contact_bank_accounts.get(*w.banked).bankName == "Bank",
    ),
    "contact_bank_accounts.delete": Exercise(
        lambda w: (
            lambda key: given(
                key, w.partner.contact_bank_accounts.create(key, iban="DE02120300000000202051", version=1).id
            )
        )(w.new("contacts", contact())),
        lambda result, w: result is None,
    ),
    "articles.list": Exercise(
        lambda w: w.article and given(articleNumber="B-1"), lambda rows, w: [row.id for row in rows] == [w.article]
    ),
    "articles.get": Exercise(
        lambda w: given(w.article),
        lambda result, w: (result.id, result.price.netPrice) == (w.article, Decimal("80.5")),
    ),
    "articles.create": Exercise(lambda w: given(**article()), lambda result, w: is_action(result, 0)),
    # A record that was read and changed, with its timestamps, goes back as it is.
    "articles.update": Exercise(
        lambda w: given(w.paper.articles.get(w.new("articles", article())), note="neu"),
        lambda result, w: is_action(result, 1) and w.paper.articles.get(result.id).note == "neu",
    ),
    "articles.delete": Exercise(lambda w: given(w.new("articles", article())), lambda result, w: result is None),
    "payments.get": Exercise(
        lambda w: given(w.sold["invoices"]),
        lambda result, w: (result.openAmount, result.paymentStatus) == (Decimal("119.70"), "openRevenue"),
    ),
    "payment_conditions.list": Exercise(lambda w: given(), lambda rows, w: rows[0].paymentTermDuration == 14),
    "posting_categories.list": Exercise(
        lambda w: given(), lambda rows, w: {row.type for row in rows} == {"income", "outgo"}
    ),
    "countries.list": Exercise(lambda w: given(), lambda rows, w: "DE" in {row.countryCode for row in rows}),
    "print_layouts.list": Exercise(lambda w: given(), lambda rows, w: sum(row.default for row in rows) == 1),
    "files.upload": Exercise(
        lambda w: given(w.scan, type="voucher"), lambda result, w: result.keys() == {"id", "voucherId"}
    ),
    "files.get": Exercise(lambda w: given(w.uploaded), lambda result, w: result == PDF),
    "files.status": Exercise(
        lambda w: given(w.uploaded),
        lambda result, w: (result.id, result.status) == (w.uploaded, "upload_success"),
    ),
    "event_subscriptions.list": Exercise(
        lambda w: w.subscription and given(),
        lambda rows, w: w.subscription in [row.subscriptionId for row in rows],
    ),
    "event_subscriptions.get": Exercise(
        lambda w: given(w.subscription),
        lambda result, w: result.items() >= {"subscriptionId": w.subscription, **EVENT}.items(),
    ),
    "event_subscriptions.create": Exercise(lambda w: given(EVENT), lambda result, w: is_action(result, 0)),
    "event_subscriptions.delete": Exercise(
        lambda w: given(w.new("event_subscriptions", EVENT)), lambda result, w: result is None
    ),
    "organization.get": Exercise(
        lambda w: given(), lambda result, w: result.companyName == w.paper.account.company and result.address.zip
    ),
    "partner_integrations.get": Exercise(lambda w: given(), lambda result, w: "status" in result),
    "partner_integrations.update": Exercise(
        lambda w: given(status="ACTIVE"), lambda result, w: w.partner.partner_integrations().status == "ACTIVE"
    ),
    "finance_accounts.list": Exercise(
        lambda w: w.account and given(), lambda rows, w: w.account in [row.financialAccountId for row in rows]
    ),
    "finance_accounts.get": Exercise(
        lambda w: given(w.account),
        lambda result, w: result.financialAccountId == w.account,
    ),
    "finance_accounts.create": Exercise(
        lambda w: given(name="Tagesgeld", balance=Decimal("0.10")),
        lambda result, w: (result.name, result.balance, result.lockVersion) == ("Tagesgeld", Decimal("0.10"), 0),
    ),
    "finance_accounts.update": Exercise(
        lambda w: given(w.account, name="Girokonto", version=0),
        lambda result, w: (result.name, result.balance, result.lockVersion) == ("Girokonto", Decimal("12.50"), 1),
    ),
    "finance_accounts.delete": Exercise(
        lambda w: given(w.partner.finance_accounts.create(name="weg").financialAccountId),
        lambda result, w: "weg" not in [row.name for row in w.partner.finance_accounts.list()],
    ),
    "finance_transactions.create": Exercise(
        lambda w: given([w.transaction(amount=Decimal("0.10")), w.transaction(amount=Decimal("-5.05"))]),
        lambda result, w: [each.amount for each in result] == [Decimal("0.10"), Decimal("-5.05")],
    ),
    "finance_transactions.latest": Exercise(
        lambda w: w.booked and given(financialAccountId=w.account),
        lambda result, w: result.financialAccountId == w.account and result.bookingDate == NOON,
    ),
    "finance_transactions.get": Exercise(
        lambda w: given(w.booked), lambda result, w: result.financialTransactionId == w.booked
    ),
    "finance_transactions.update": Exercise(
        lambda w: given(
            w.partner.finance_transactions.create([w.transaction()])[0].financialTransactionId,
            purpose="Miete",
            version=0,
        ),
        lambda result, w: (result.purpose, result.amount, result.lockVersion) == ("Miete", Decimal("119.70"), 1),
    ),
    "finance_transactions.delete": Exercise(
        lambda w: given(w.partner.finance_transactions.create([w.transaction()])[0].financialTransactionId),
        lambda result, w: result is None,
    ),
    "finance_transactions.assignments": Exercise(
        lambda w: given(w.assigned), lambda rows, w: [row.voucherId for row in rows] == [w.sold["invoices"]]
    ),
    "cash_boxes.list": Exercise(
        lambda w: w.cash_box and given(), lambda rows, w: w.cash_box in [row.cashBoxId for row in rows]
    ),
    "cash_boxes.get": Exercise(lambda w: given(w.cash_box), lambda result, w: result.cashBoxId == w.cash_box),
    "cash_boxes.create": Exercise(lambda w: given({"name": "Markt"}), lambda result, w: result.name == "Markt"),
    "cash_boxes.update": Exercise(
        lambda w: given(w.partner.cash_boxes.create(name="Stand"), name="Kiosk"),
        lambda result, w: (result.name, result["version"]) == ("Kiosk", 1),
    ),
    "cash_boxes.delete": Exercise(
        lambda w: given(w.partner.cash_boxes.create(name="weg").cashBoxId),
        lambda result, w: "weg" not in [row.name for row in w.partner.cash_boxes.list()],
    ),
    "cash_boxes.balances": Exercise(
        lambda w: given(w.cash_box), lambda rows, w: [row.amount for row in rows] == [Decimal("17.25")]
    ),
    "cash_boxes.add_balance": Exercise(
        lambda w: given(w.partner.cash_boxes.create(name="Bude").cashBoxId, date="2025-03-04", amount=Decimal("3.30")),
        lambda result, w: (str(result["date"]), result.amount) == ("2025-03-04", Decimal("3.30")),
    ),
    "transaction_assignment_hint.create": Exercise(
        lambda w: given(voucherId=w.sold["invoices"], externalReference="R-1"),
        lambda result, w: result.voucherId == w.sold["invoices"],
    ),
}
ROWS = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.call)
PARTNERS_ROWS = pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.partner], ids=lambda each: each.call
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("every endpoint")
    with Sandbox(data_dir=folder / "data") as box:
        world = World(box, folder)
        yield world
        world.close()


def test_each_row_of_the_table_has_an_exercise_and_there_is_no_other() -> None:
    assert list(EXERCISES) == [each.call for each in OPERATIONS]


@ROWS
def test_the_sandbox_serves_it_and_what_comes_is_true(operation: Operation, world: World) -> None:
    _, result = world.exercise(operation)
    assert 200 <= world.statuses[operation.call] < 300
    rows = result if isinstance(result, list) else [result] if isinstance(result, dict) else []
    assert all(type(row) is Record for row in rows)
    assert EXERCISES[operation.call].true(result, world)


@PARTNERS_ROWS
def test_what_is_for_partners_is_refused_to_others(operation: Operation, world: World) -> None:
    call, _ = world.exercise(operation)
    with pytest.raises(NotAllowed) as caught:
        done(world.paper, operation, call)
    assert caught.value.status == 403
    assert "partner contract" in caught.value._render_traceback_()[0]


def test_an_e_invoice_comes_as_xml_as_well(world: World) -> None:
    assert world.paper.invoices.file(world.e_invoice, format="xml").lstrip().startswith(b"<?xml")
    assert is_pdf(world.paper.invoices.file(world.e_invoice))


def test_the_tables_of_the_page_say_what_the_sandbox_answered(world: World, request: pytest.FixtureRequest) -> None:
    """If it fails: `make docs`."""
    for operation in OPERATIONS:
        world.exercise(operation)
    own, begins, written = PAGE.read_text("utf-8").partition(BEGINS)
    assert begins, "the page has lost the line after which the tables begin"
    made = "\n" + tables(world.statuses)
    if path := request.config.getoption("--api-page"):
        Path(path).write_text(own + begins + made, "utf-8")
        return
    assert written == made
    assert "not run" not in made
