"""Uploads, downloads, and documents as files."""

from __future__ import annotations

import uuid
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.bodies import contact, line, sales, voucher

PDF, XML = "application/pdf", "application/xml"
LIMIT = 5 * 1024 * 1024


class Sender:
    """Somebody with an API key."""

    def __init__(self, box: Any) -> None:
        self.url = f"{box.url}/v1"
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Authorization"] = f"Bearer {box.make_api_key()}"

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.http.get(self.url + path, headers=headers, timeout=30)

    def upload(self, content: bytes | None, purpose: str | None = "voucher", path: str = "/files") -> requests.Response:
        # The field is sent in any case, so that the body is of several parts.
        files = {"file" if content is not None else "other": ("beleg.pdf", content or b"x")}
        data = {} if purpose is None else {"type": purpose}
        return self.http.post(self.url + path, files=files, data=data, timeout=30)

    def made(self, path: str, body: Any) -> str:
        answer = self.http.post(self.url + path, json=body, timeout=20)
        assert answer.ok, answer.text
        return answer.json()["id"]


@pytest.fixture(scope="module")
def sender(shared_box) -> Any:
    sender = Sender(shared_box)
    with sender.http:
        yield sender


def test_a_file_becomes_a_voucher_that_is_not_yet_booked_and_comes_back(sender):
    content = b"%PDF-1.7 one"
    answer = sender.upload(content)
    assert (answer.status_code, list(answer.json())) == (202, ["id", "voucherId"])
    assert answer.headers["Location"] == f"{sender.url}/files/{answer.json()['id']}"
    back = sender.get(f"/files/{answer.json()['id']}")
    assert (back.content, back.headers["Content-Type"]) == (content, PDF)
    booked = sender.get(f"/vouchers/{answer.json()['voucherId']}").json()
    assert (booked["voucherStatus"], booked["files"]) == ("unchecked", [answer.json()["id"]])
    listed = sender.get("/voucherlist?voucherType=any&voucherStatus=unchecked&size=250").json()["content"]
    assert booked["id"] in [each["id"] for each in listed]


def test_the_same_content_gives_the_same_ids_again(sender):
    first, again = sender.upload(b"%PDF-1.7 twice"), sender.upload(b"%PDF-1.7 twice")
    assert (again.status_code, again.json()) == (202, first.json())
    assert sender.upload(b"%PDF-1.7 other").json() != first.json()


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"\xff\xd8\xff\xe0 jpg", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n png", "image/png"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><a/>", XML),
        (b"%PDF-" + b"0" * (LIMIT - 5), PDF),
    ],
)
def test_pictures_xml_and_five_megabytes_are_taken(sender, content, content_type):
    key = sender.upload(content).json()["id"]
    assert sender.get(f"/files/{key}").headers["Content-Type"] == content_type


def test_what_an_upload_lacks_has_an_answer_of_its_own(sender):
    no_type = sender.upload(b"%PDF-1", None)
    assert (no_type.status_code, list(no_type.json())) == (400, ["i18nKey", "source"])
    assert no_type.json()["source"].startswith("Required request parameter 'type'")
    for content, purpose, status, key in (
        (b"%PDF-1", "photo", 400, "bad_request_error"),
        (b"MZ", "voucher", 406, "invalid_value"),
        (b"", "voucher", 406, "invalid_value"),
        (b"%PDF-" + b"0" * LIMIT, "voucher", 406, "invalid_value"),
        (None, "voucher", 500, "technical_error"),
        (b"%PDF-1", "attachment", 403, "access_denied"),
    ):
        answer = sender.upload(content, purpose)
        assert (answer.status_code, answer.json()["IssueList"][0]["i18nKey"]) == (status, key)
    assert sender.upload(b"%PDF-" + b"0" * 2 * LIMIT).status_code == 413


def test_a_voucher_takes_more_files_and_loses_all_when_it_is_changed_without_them(sender):
    key = sender.made("/vouchers", voucher())
    answer = sender.upload(b"%PDF-1.7 more", None, f"/vouchers/{key}/files")
    assert answer.status_code == 202
    document = sender.get(f"/vouchers/{key}").json()
    assert document["files"] == [answer.json()["id"]]
    kept = sender.http.put(f"{sender.url}/vouchers/{key}", json=document, timeout=20)
    assert sender.get(f"/vouchers/{key}").json()["files"] == document["files"]
    document["version"] = kept.json()["version"]
    del document["files"]
    assert sender.http.put(f"{sender.url}/vouchers/{key}", json=document, timeout=20).ok
    assert sender.get(f"/vouchers/{key}").json()["files"] == []
    assert sender.get(f"/files/{answer.json()['id']}").status_code == 404


@pytest.fixture(scope="module")
def papers(sender) -> dict[str, str]:
    buyer = sender.made("/contacts", contact())
    official = sales(address={"contactId": buyer}, xRechnung={"buyerReference": "04011000-12345-67"})
    return {
        "draft": sender.made("/invoices", sales()),
        "plain": sender.made("/invoices?finalize=true", sales()),
        "xrechnung": sender.made("/invoices?finalize=true", official),
        "quotation": sender.made("/quotations?finalize=true", sales("quotations")),
    }


@pytest.mark.parametrize(
    ("paper", "accept", "status", "content_type"),
    [
        ("plain", "*/*", 200, PDF),
        ("plain", "application/pdf", 200, PDF),
        ("plain", "application/pdf, */*;q=0.1", 200, PDF),
        ("plain", "application/xml", 404, None),
        ("plain", "application/json", 406, None),
        ("plain", "nonsense;;q=x,", 406, None),
        ("xrechnung", "*/*", 200, XML),
        ("xrechnung", "application/xml", 200, XML),
        ("xrechnung", "application/pdf", 200, PDF),
        ("xrechnung", "application/xml;q=0.5, application/pdf", 200, PDF),
        ("quotation", "*/*", 200, PDF),
        ("quotation", "application/xml", 406, None),
        ("draft", "*/*", 409, None),
        ("draft", "application/xml", 409, None),
    ],
)
def test_a_document_comes_as_the_file_that_is_accepted(sender, papers, paper, accept, status, content_type):
    kind = "quotations" if paper == "quotation" else "invoices"
    answer = sender.get(f"/{kind}/{papers[paper]}/file", Accept=accept)
    assert answer.status_code == status, answer.text[:300]
    if status != 200:
        assert answer.json()["status"] == status
        return
    assert answer.headers["Content-Type"] == content_type
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.content.startswith(b"%PDF-" if content_type == PDF else b"<?xml")
    number = sender.get(f"/{kind}/{papers[paper]}").json()["voucherNumber"]
    title, ending = "Angebot" if kind == "quotations" else "Rechnung", "pdf" if content_type == PDF else "xml"
    assert answer.headers["Content-Disposition"] == f"inline; filename={title}_{number}.{ending};"


def test_an_xrechnung_that_lacks_the_buyers_town_is_not_taken(sender):
    body = sales(xRechnung={"buyerReference": "04011000-12345-67"})
    answer = sender.http.post(f"{sender.url}/invoices", json=body, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (406, "Not Acceptable")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=", b"--", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 2000, 413),
        ("application/pdf", b"%PDF-", 415),
    ],
)
def test_a_body_that_is_no_form_is_refused(sender, content_type, body, status):
    headers = {"Content-Type": content_type}
    answer = sender.http.post(f"{sender.url}/files", data=body, headers=headers, timeout=20)
    assert (answer.status_code, answer.json() is not None) == (status, True)


@pytest.mark.parametrize("octets", [LIMIT, 2 * LIMIT])
def test_a_refusal_reaches_who_sends_a_large_file(sender, octets):
    # A client that sends all before it reads; of a connection that was cut it would not see the answer.
    connection = HTTPConnection(urlsplit(sender.url).netloc, timeout=30)
    connection.request("POST", "/v1/files", b"x" * octets, {"Content-Type": "application/pdf"})
    assert connection.getresponse().status == 401
    connection.close()


def test_zugferd_is_a_pdf_and_no_xml(sender):
    """An invoice of the books that has this profile, if they have one."""
    rows = sender.get("/voucherlist?voucherType=invoice&voucherStatus=any&size=250").json()["content"]
    for row in rows:
        document = sender.get(f"/invoices/{row['id']}").json()
        if document["electronicDocumentProfile"] == "EN16931" and document["voucherStatus"] != "draft":
            answer = sender.get(f"/invoices/{row['id']}/file", Accept="*/*")
            assert answer.headers["Content-Type"] == PDF
            assert b"factur-x.xml" in answer.content
            assert sender.get(f"/invoices/{row['id']}/file", Accept=XML).status_code == 404
            return
    pytest.fail("the books have no ZUGFeRD invoice")


def test_the_file_of_a_document_that_is_not_there_is_404(sender):
    assert sender.get(f"/invoices/{uuid.uuid4()}/file").status_code == 404


def test_the_old_way_names_a_file_and_refuses_drafts(sender, papers):
    named = sender.get(f"/invoices/{papers['plain']}/document").json()["documentFileId"]
    assert sender.get(f"/files/{named}").content.startswith(b"%PDF-")
    draft = sender.get(f"/invoices/{papers['draft']}/document")
    assert draft.status_code == 406
    assert draft.json()["message"] == "Requesting PDF document is not possible in state draft."


def test_a_partner_attaches_files_and_asks_how_they_are(sender, shared_box, client_of_partners):
    partner = client_of_partners(shared_box)
    token = partner.tokens(scope="files.write files.status files.read")["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{sender.url}/files"
    files, data = {"file": ("a.png", b"\x89PNG\r\n\x1a\n attached")}, {"type": "attachment"}
    answer = requests.post(url, headers=headers, files=files, data=data, timeout=20)
    assert (answer.status_code, list(answer.json())) == (202, ["id"])
    status = requests.get(f"{url}/{answer.json()['id']}/status", headers=headers, timeout=20).json()
    assert status == {"id": answer.json()["id"], "status": "upload_success"}


def test_an_unusual_line_is_printed_too(sender):
    odd = line(name="Größe „½“ — 漢字 \u0000 <b>", description="**fett** __kursiv__\n- Liste", quantity=0)
    key = sender.made("/invoices?finalize=true", sales(lineItems=[odd, {"type": "text", "name": "Nur Text"}]))
    assert sender.get(f"/invoices/{key}/file").content.startswith(b"%PDF-")
