"""Files: uploads for vouchers, and getting them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import partner, shapes
from lexoffice_nb.sandbox.calls import Reply
from lexoffice_nb.sandbox.problems import ODD, ApiProblem, not_found
from lexoffice_nb.sandbox.routes.papers import stored_paper
from lexoffice_nb.sandbox.routes.vouchers import found_voucher, keep, new_voucher

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.calls import Call

LARGEST = 5 * 1024 * 1024
_BEGINNINGS = (
    (b"%PDF-", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"<?xml", "application/xml"),
)
_ENDINGS = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png", "application/xml": "xml"}


def upload(call: Call) -> Reply:
    """`POST /v1/files`: 202 with the IDs; content that was there before gives the IDs that it got then."""
    _multipart(call)
    purpose = call.request.form.get("type")
    if purpose is None:
        message = "Required request parameter 'type' for method parameter type String is not present"
        raise ApiProblem(400, "bad_request_error", message, shape=ODD)
    if purpose not in ("voucher", "attachment"):
        raise ApiProblem(400, "bad_request_error", "type")
    if purpose == "attachment" and call.bearer.client_id != partner.CLIENT_ID:
        raise ApiProblem(403, "access_denied", "type")
    content, content_type = _content(call)
    found = call.books.same_upload(content, purpose)
    if found is not None:
        return Reply({"id": found.id, "voucherId": found.voucher}, 202, _location(call, found.id))
    voucher = None
    if purpose == "voucher":
        voucher = new_voucher(call, shapes.timestamp(call.now)) | {
            "type": "purchaseinvoice",
            "voucherStatus": "unchecked",
            "voucherItems": [],
            "useCollectiveContact": True,
            "version": 0,
        }
    new = call.books.upload(content, content_type, purpose, voucher["id"] if voucher else None)
    if voucher is not None:
        keep(call, voucher | {"files": [new.id]})
    return Reply({"id": new.id, "voucherId": new.voucher}, 202, _location(call, new.id))


def attach(call: Call) -> Reply:
    """`POST /v1/vouchers/{id}/files`: one more file for a voucher."""
    voucher = found_voucher(call)
    _multipart(call)
    content, content_type = _content(call)
    new = call.books.upload(content, content_type, f"voucher {voucher['id']}", voucher["id"])
    voucher |= {
        "files": [*(voucher.get("files") or ()), new.id],
        "updatedDate": shapes.timestamp(call.now),
        "version": voucher["version"] + 1,
    }
    call.books.keep("vouchers", voucher)
    call.books.keep_row(call.books.rows.get(voucher["id"]) | {"updatedDate": voucher["updatedDate"]})
    return Reply({"id": new.id, "voucherId": voucher["id"]}, 202, _location(call, new.id))


def download(call: Call) -> Reply:
    """`GET /v1/files/{id}`: what was uploaded, or the paper of a sales document."""
    found = call.books.find_upload(call.id)
    if found is not None:
        name = f"{found.id}.{_ENDINGS[found.content_type]}"
        headers = {"Content-Disposition": f"inline; filename={name};"}
        return Reply(found.content, headers=headers, content_type=found.content_type)
    paper = stored_paper(call, call.id)
    if paper is None:
        raise not_found("File", call.id)
    return paper


def status(call: Call) -> dict[str, Any]:
    """`GET /v1/files/{id}/status`."""
    if call.books.find_upload(call.id) is None:
        raise not_found("File", call.id)
    return {"id": call.id, "status": "upload_success"}


def _multipart(call: Call) -> None:
    if call.request.mimetype != "multipart/form-data":
        raise ApiProblem(415, "bad_request_error", "Content-Type")


def _content(call: Call) -> tuple[bytes, str]:
    sent = call.request.files.get("file")
    if sent is None:
        raise ApiProblem(500, "technical_error", "file")  # the vendor's own slip
    content = sent.stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ApiProblem(406, "invalid_value", "file")
    start = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    for beginning, content_type in _BEGINNINGS:
        if start.startswith(beginning):
            return content, content_type
    raise ApiProblem(406, "invalid_value", "file")


def _location(call: Call, key: str) -> dict[str, str]:
    return {"Location": call.address("files", key)}
