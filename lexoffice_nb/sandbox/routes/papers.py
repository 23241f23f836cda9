"""Documents as files: PDF, XRechnung and ZUGFeRD, by what the request accepts; and sending them by e-mail."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.calls import Reply
from lexoffice_nb.sandbox.einvoice import Buyer, NotAnEInvoice, xrechnung, zugferd
from lexoffice_nb.sandbox.paperwork import TITLES, Seller, pdf
from lexoffice_nb.sandbox.problems import ApiProblem, not_found
from lexoffice_nb.sandbox.validation import check, email, identifier, many, needed, record, text

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

PDF = "application/pdf"
XML = "application/xml"
PAPERS = "papers"
_WITH_XML = ("invoices", "credit-notes", "down-payment-invoices")
_FILES = uuid.UUID("0c9f3f0e-2c38-4b0a-9a1b-6f5d1b0c7e52")
_EMAIL = record(
    {
        "recipients": needed(many(email(), 20, 1)),
        "subject": text(255),
        "message": text(10_000),
        "signature": text(2000),
        "attachments": many(identifier(), 20),
    }
)


def file(call: Call) -> Reply:
    """`GET /v1/{kind}/{id}/file`: unknown 404, draft 409, then what `Accept` asks for."""
    document = _document(call)
    if _unfinished(call, document):
        raise ApiProblem(409, "Requesting the file is not possible in state draft.")
    content, content_type = _printed(call, call.kind, document, _wanted(call, document))
    return Reply(content, headers=_disposition(call.kind, document, content_type), content_type=content_type)


def document_file(call: Call) -> dict[str, Any]:
    """`GET /v1/{kind}/{id}/document`, no longer recommended: the ID of a file; 406 for a draft."""
    document = _document(call)
    if _unfinished(call, document):
        raise ApiProblem(406, "Requesting PDF document is not possible in state draft.")
    key = str(uuid.uuid5(_FILES, document["id"]))
    with call.books.lock:
        call.books.keep(PAPERS, {"kind": call.kind, "document": document["id"]}, key)
    return {"documentFileId": key}


def stored_paper(call: Call, key: str) -> Reply | None:
    """The file that `document_file` named, or None."""
    paper = call.books.find(PAPERS, key, call.now.date())
    document = paper and call.books.find(paper["kind"], paper["document"], call.now.date())
    if not paper or not document:
        return None
    content, content_type = _printed(call, paper["kind"], document, PDF)
    return Reply(content, headers=_disposition(paper["kind"], document, content_type), content_type=content_type)


def check_e_invoice(call: Call, document: dict[str, Any]) -> None:
    """Refuse a new invoice that says it is an XRechnung and lacks what every XRechnung must say.

    Raises:
        ApiProblem: 406.
    """
    try:
        _printed(call, "invoices", document, XML)
    except ApiProblem as problem:
        if problem.status != 501:  # without the package nothing can be said
            raise


def send_by_email(call: Call) -> Reply:
    """`POST /v1/{kind}/{id}/sendmail`: everything is looked at, nothing is sent; the sandbox has no post office."""
    document = _document(call)
    check(_EMAIL, call.json())
    if _unfinished(call, document):
        raise ApiProblem(406, "Sending by e-mail is not possible in state draft.")
    return Reply({"id": document["id"]}, 202)


def _document(call: Call) -> dict[str, Any]:
    found = call.books.find(call.kind, call.id, call.now.date())
    if found is None:
        raise not_found(call.kind, call.id)
    return found


def _unfinished(call: Call, document: dict[str, Any]) -> bool:
    # A dunning stays a draft for ever, and is printed all the same.
    return call.kind != "dunnings" and document["voucherStatus"] == "draft"


def _wanted(call: Call, document: dict[str, Any]) -> str:
    accepted = call.request.accept_mimetypes
    if not accepted.values():
        return _usual(call.kind, document)
    as_pdf, as_xml = accepted[PDF], accepted[XML]
    if not as_pdf and not as_xml:
        raise ApiProblem(406, "Acceptable representations: [application/pdf, application/xml]")
    if as_pdf == as_xml:
        return _usual(call.kind, document)
    if as_pdf > as_xml:
        return PDF
    if call.kind not in _WITH_XML:
        raise ApiProblem(406, "Acceptable representations: [application/pdf]")
    if document.get("electronicDocumentProfile") != "XRechnung":
        raise ApiProblem(404, "There is no XML file for this document.")
    return XML


def _usual(kind: str, document: dict[str, Any]) -> str:
    return XML if kind in _WITH_XML and document.get("electronicDocumentProfile") == "XRechnung" else PDF


def _printed(call: Call, kind: str, document: dict[str, Any], wanted: str) -> tuple[bytes, str]:
    seller, buyer = Seller.of(call.books.ledger.organisation), _buyer(call, document)
    try:
        if wanted == XML:
            return xrechnung(document, seller, kind=kind, buyer=buyer), XML
        if kind in _WITH_XML and document.get("electronicDocumentProfile") == "EN16931":
            return zugferd(document, seller, kind=kind, buyer=buyer), PDF
        return pdf(document, kind, seller), PDF
    except NotAnEInvoice as error:
        raise ApiProblem(406, f"The document cannot become an e-invoice: {error}") from None
    except ImportError as error:
        raise ApiProblem(501, f"No {error.name} here: pip install 'lexoffice_nb[papers]', then try again.") from None


def _buyer(call: Call, document: dict[str, Any]) -> Buyer:
    key = document["address"].get("contactId")
    contact = call.books.find("contacts", key, call.now.date()) if key else None
    addresses = [one for group in ((contact or {}).get("emailAddresses") or {}).values() for one in group or ()]
    company = (contact or {}).get("company") or {}
    return Buyer(vat_id=company.get("vatRegistrationId") or "", email=addresses[0] if addresses else "")


def _disposition(kind: str, document: dict[str, Any], content_type: str) -> dict[str, str]:
    ending = "xml" if content_type == XML else "pdf"
    title = TITLES.get(kind, "Beleg").replace("ä", "ae")
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{title}_{document.get('voucherNumber') or 'ohne'}")
    return {"Content-Disposition": f"inline; filename={name}.{ending};"}
