"""The scopes this server knows."""

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
PLURAL_SCOPES = tuple(
    sorted(
        [f"{thing}.{verb}" for thing in _READ_AND_WRITE for verb in ("read", "write")]
        + [f"{t}.read" for t in _READ_ONLY]
    )
)
SCOPES = (*OPENID_SCOPES, *PAPER_SCOPES, *PLURAL_SCOPES)  # the paper's client may use the plural names too
PARTNER_SCOPES = tuple(
    sorted(
        (
            *PLURAL_SCOPES,
            *("cashbox.delete", "cashbox.read", "cashbox.write"),
            *("contacts.bankaccounts.read", "contacts.bankaccounts.write"),
            "files.status",
            *("finance.read", "finance.write"),
            "organization.read",
            "transaction-assignment-hint.write",
            "vouchers.sendmail",
        )
    )
)


def words(scope: str | None) -> list[str]:
    """The single scopes of a space-separated `scope` value, each once, in their order (RFC 6749, section 3.3)."""
    return list(dict.fromkeys((scope or "").split()))
