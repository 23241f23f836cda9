"""Lists that are the same for everybody: countries and posting categories.

The count of countries is the vendor's; which ones it has beyond ISO 3166 and the two that the sandbox's facts name is
our guess. Of the vendor's 231 posting categories only a few are known by ID; the others here are plausible inventions,
and fewer.
"""

from __future__ import annotations

import csv
import re
import uuid
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_NAMESPACE = uuid.UUID("3b0f6a52-58c1-4d0e-8f5c-0d8f3f3f6f11")
# For goods, Northern Ireland (XI) is within.
_UNION = re.compile("AT|BE|BG|CY|CZ|DK|EE|ES|FI|FR|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI")


@cache
def countries() -> tuple[dict[str, Any], ...]:
    """`GET /v1/countries`."""
    return tuple(
        {"countryCode": code, "countryNameEN": english, "countryNameDE": german, "taxClassification": _tax(code)}
        for code, english, german in _rows("countries.csv")
    )


@cache
def posting_categories() -> tuple[dict[str, Any], ...]:
    """`GET /v1/posting-categories`."""
    return tuple(
        {
            "id": known[0] if known else str(uuid.uuid5(_NAMESPACE, f"{type_}/{name}")),
            "name": name,
            "type": type_,
            "contactRequired": "13b" in name or "nnergemeinschaftlich" in name or "Drittl" in name,
            "splitAllowed": group != "Privat",
            "groupName": group,
        }
        for type_, group, name, *known in _rows("posting_categories.csv")
    )


def _tax(code: str) -> str:
    return "de" if code == "DE" else "intraCommunity" if _UNION.fullmatch(code) else "thirdPartyCountry"


def _rows(name: str) -> list[list[str]]:
    with (_HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=";"))
