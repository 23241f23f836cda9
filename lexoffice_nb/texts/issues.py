"""What is wrong with a field of a request, from the vendor's codes to words of a person's language. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lexoffice_nb.texts import from_server, text

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SHOWN = 3
# The fields of optimistic locking: another value than the current one is all that can be wrong with them.
VERSIONS = frozenset({"version", "lockVersion"})
# Codes as they come in `violation` (names of Bean Validation's constraints) and in `i18nKey`, without case and signs.
_WORDS = {
    "notnull": "issue.missing",
    "missingentity": "issue.missing",
    "notblank": "issue.empty",
    "notempty": "issue.empty",
    "null": "issue.not_wanted",
    "invalidvalue": "issue.invalid_value",
    "email": "issue.invalid_email",
    "invalidemail": "issue.invalid_email",
    "badrequesterror": "issue.bad_request",
    "technicalerror": "issue.technical",
    "collectivecustomernotapplicable": "issue.collective_customer",
    "customcontactnameforreferencedcontactnotallowed": "issue.custom_contact_name",
    "contactisneithercustomernorvendor": "issue.contact_without_role",
    "size": "issue.size",
    "length": "issue.size",
    "max": "issue.too_large",
    "decimalmax": "issue.too_large",
    "negative": "issue.too_large",
    "negativeorzero": "issue.too_large",
    "min": "issue.too_small",
    "decimalmin": "issue.too_small",
    "positive": "issue.too_small",
    "positiveorzero": "issue.too_small",
    "digits": "issue.digits",
    "pattern": "issue.pattern",
    "past": "issue.date",
    "pastorpresent": "issue.date",
    "future": "issue.date",
    "futureorpresent": "issue.date",
}
# Of these the vendor's own words say more: how long, how large.
_WITH_LIMITS = {"issue.size", "issue.too_large", "issue.too_small", "issue.digits", "issue.pattern", "issue.date"}
_TAX_RATE = re.compile(r"invalid_?tax_?rate_?(\w{0,20})", re.IGNORECASE)


def issue_words(field: str, reason: str, said: str = "", language: str | None = None) -> str:
    """Says what is wrong with a field, such as `lineItems[0].name: is missing`.

    Args:
        field: the field's path, `-` where it is not known; some of the vendor's are whole sentences.
        reason: the vendor's code.
        said: the vendor's own text, which is shown for a code that is not known.
        language: the person's, where none is named.
    """
    if _key(field) and _key(reason) == "issue.technical":
        field, reason = "-", field  # the code is where the field should be
    old = field in VERSIONS and _key(reason) == "issue.invalid_value"
    words = text("issue.version", language) if old else _words(reason, said, language)
    if field in ("", "-"):
        return words
    # A sentence, not the name of a field: it says everything by itself.
    return field if " " in field and _key(reason) == "issue.bad_request" else f"{field}: {words}"


def issues_words(issues: Sequence[tuple[str, str]], said: Sequence[str], language: str | None = None) -> str:
    """Says what is wrong with the first three fields, and how many there are more; at most 200 characters."""
    shown = [
        issue_words(field, reason, said[at] if at < len(said) else "", language)
        for at, (field, reason) in enumerate(issues[:MOST_SHOWN])
    ]
    if len(issues) > MOST_SHOWN:
        shown.append(text("issue.more", language, count=len(issues) - MOST_SHOWN))
    return from_server("; ".join(shown))


def _words(reason: str, said: str, language: str | None) -> str:
    key = _key(reason)
    if key is None:
        return from_server(said or reason)
    if rate := _TAX_RATE.fullmatch(reason):
        return text(key, language, rate=rate[1] or "-")
    words = text(key, language)
    return f"{words} ({from_server(said)})" if said and key in _WITH_LIMITS else words


def _key(reason: str) -> str | None:
    if _TAX_RATE.fullmatch(reason):
        return "issue.tax_rate"
    return _WORDS.get(re.sub(r"[^a-z]", "", reason.lower()))
