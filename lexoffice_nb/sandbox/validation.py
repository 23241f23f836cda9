"""What the fields of a request's body must be: small rules, put together to the shape of a document.

A rule takes a value (None if there is none), where it stands, and the list that it adds what is wrong to; it gives back
what is kept. Fields that no rule names are left out.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from lexoffice_nb.sandbox import paging, shapes
from lexoffice_nb.sandbox.problems import ApiProblem, Issue, not_valid

Rule = Callable[[Any, str, list[Issue]], Any]

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}(?:Z|[+-][0-9]{2}:[0-9]{2})")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_COUNTRY = re.compile(r"[A-Z]{2}(?:_[A-Z0-9]{1,4})?")
_YEARS = range(1970, 2100)


def check(rules: Rule, body: Any) -> dict[str, Any]:
    """The body as its rules leave it.

    Raises:
        ApiProblem: 400 if it is no object, 406 with all that is wrong.
    """
    if not isinstance(body, dict):
        raise ApiProblem(400, "JSON parse error: an object is expected")
    issues: list[Issue] = []
    kept = rules(body, "", issues)
    if issues:
        raise not_valid(*issues)
    return dict(kept)


def needed(rule: Rule) -> Rule:
    """The rule, for a field that must be there."""

    def apply(value: Any, field: str, issues: list[Issue]) -> Any:
        if value is None or value == "":
            issues.append(Issue(field, "NOTNULL"))
            return None
        return rule(value, field, issues)

    return apply


def _rule(test: Callable[[Any], Any], violation: str = "VALUE", key: str = "") -> Rule:
    # The test raises ValueError for what it does not take.
    def apply(value: Any, field: str, issues: list[Issue]) -> Any:
        if value is None:
            return None
        try:
            return test(value)
        except (ValueError, OverflowError):
            issues.append(Issue(field, violation, key))
            return None

    return apply


def text(most: int = 255) -> Rule:
    """A text of so many characters at most."""

    def test(value: Any) -> str:
        _that(value, isinstance(value, str) and len(value) <= most)
        value.encode("utf-8")  # half a character, as JSON can write one, is none
        return str(value)

    return _rule(test, "SIZE")


def choice(*values: str) -> Rule:
    """One of these words."""
    return _rule(lambda value: _that(value, isinstance(value, str) and value in values))


def number(least: int | None = 0, most: int = 10**9, places: int = 2) -> Rule:
    """A number, not a text; as `Decimal`, with so many places at most."""

    def test(value: Any) -> Decimal:
        _that(value, isinstance(value, int | Decimal) and not isinstance(value, bool))
        found = Decimal(value)
        _that(value, found.is_finite() and abs(found) <= most and (least is None or found >= least))
        return Decimal(_that(found, found == round(found, places)))

    return _rule(test, "DIGITS")


def whole(least: int = 0, most: int = 2**31 - 1) -> Rule:
    """A whole number."""
    return _rule(lambda value: _that(value, type(value) is int and least <= value <= most), "DIGITS")


def flag() -> Rule:
    """True or false."""
    return _rule(lambda value: _that(value, isinstance(value, bool)))


def identifier() -> Rule:
    """A UUID."""
    return _rule(lambda value: _that(value, isinstance(value, str) and is_uuid(value)).lower(), "PATTERN")


def email() -> Rule:
    """An e-mail address."""

    def test(value: Any) -> str:
        return str(_that(value, isinstance(value, str) and len(value) <= 254 and _EMAIL.fullmatch(value)))

    return _rule(test, "PATTERN", "invalid_email")


def country() -> Rule:
    """A country's code, as `DE` or `ES_CN`."""
    return _rule(lambda value: _that(value, isinstance(value, str) and _COUNTRY.fullmatch(value)), "PATTERN")


def moment(plain_days: bool = False) -> Rule:
    """A timestamp `yyyy-MM-ddTHH:mm:ss.SSSXXX`, kept with Berlin's offset; if `plain_days`, `yyyy-MM-dd` as well."""

    def test(value: Any) -> str:
        _that(value, isinstance(value, str))
        if plain_days and _DAY.fullmatch(value):
            day = date.fromisoformat(value)
            _that(value, day.year in _YEARS)
            return shapes.midnight(day)
        _that(value, _MOMENT.fullmatch(value))
        when = datetime.fromisoformat(value)
        _that(value, when.year in _YEARS)
        return shapes.timestamp(when)

    return _rule(test, "PATTERN")


def day() -> Rule:
    """A day `yyyy-MM-dd`."""

    def test(value: Any) -> str:
        _that(value, isinstance(value, str) and _DAY.fullmatch(value))
        return date.fromisoformat(value).isoformat()

    return _rule(test, "PATTERN")


def record(fields: Mapping[str, Rule]) -> Rule:
    """An object with these fields."""

    def apply(value: Any, field: str, issues: list[Issue]) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            issues.append(Issue(field))
            return None
        prefix = f"{field}." if field else ""
        return {name: rule(value.get(name), prefix + name, issues) for name, rule in fields.items()}

    return apply


def many(rule: Rule, most: int = 300, least: int = 0) -> Rule:
    """A list of things of one kind."""

    def apply(value: Any, field: str, issues: list[Issue]) -> Any:
        if value is None:
            return None
        if not isinstance(value, list) or not least <= len(value) <= most:
            issues.append(Issue(field, "SIZE"))
            return None
        return [needed(rule)(each, f"{field}[{place}]", issues) for place, each in enumerate(value)]

    return apply


def is_uuid(value: str) -> bool:
    """Whether a text is a UUID in its usual form."""
    return _UUID.fullmatch(value) is not None


def uuid_argument(name: str, value: str) -> str:
    """A UUID of the query.

    Raises:
        ApiProblem: 400, if it is none.
    """
    if not is_uuid(value):
        raise paging.invalid(name, value)
    return str(uuid.UUID(value))


def flag_argument(arguments: Mapping[str, str], name: str) -> bool | None:
    """A boolean of the query, or None if it is not there.

    Raises:
        ApiProblem: 400, if it is neither `true` nor `false`.
    """
    value = arguments.get(name)
    if value not in (None, "true", "false"):
        raise paging.invalid(name, str(value))
    return None if value is None else value == "true"


def _that(value: Any, good: Any) -> Any:
    if not good:
        raise ValueError
    return value
