"""The scopes this server knows, and what they open."""

from __future__ import annotations

OPENID_SCOPES = ("openid", "profile", "email", "offline_access")
PAPER_SCOPES = ("invoice.read", "invoice.write", "contact.read")
DEFAULT_SCOPE = "openid profile invoice.read"

_READ_AND_WRITE = (
    "articles",
    "contacts",
    "credit-notes",
    "delivery-notes",
    "dunnings",
    "files",
    "invoices",
    "order-confirmations",
    "quotations",
    "vouchers",
)
_READ_ONLY = ("payments", "profile", "recurring-templates", "voucherlist")
PARTNER_SCOPES = tuple(
    sorted(
        [f"{thing}.{verb}" for thing in _READ_AND_WRITE for verb in ("read", "write")]
        + [f"{t}.read" for t in _READ_ONLY]
    )
)
SCOPES = (*OPENID_SCOPES, *PAPER_SCOPES, *PARTNER_SCOPES)


def words(scope: str | None) -> list[str]:
    """The single scopes of a space-separated `scope` value, each once, in their order (RFC 6749, section 3.3)."""
    return list(dict.fromkeys((scope or "").split()))
