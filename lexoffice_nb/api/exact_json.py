"""JSON whose numbers are `decimal.Decimal` on both ways: an amount never becomes a binary fraction.

Dates are written as the vendor takes them; `records.read` reads them.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from lexoffice_nb.api import berlin
from lexoffice_nb.errors import Invalid
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Iterable

# The largest amount that JSON's readers elsewhere keep exactly (RFC 8259 section 6), and far more than any invoice.
MOST_DIGITS = 15
SMALLEST_EXPONENT = -30
DEEPEST = 64


class AmountTooLong(ValueError):
    """A number with more digits before its point than any amount has."""


def decode(body: str | bytes, **options: Any) -> Any:
    """Parses JSON; every number becomes a Decimal.

    Args:
        body: the text, or its octets in UTF-8, -16 or -32.
        options: as for `json.loads`; they win.

    Raises:
        AmountTooLong: if a number has more than 15 digits before its point, or more than 30 places after it.
        ValueError: if it is not JSON (NaN and Infinity are not), or nested so deeply that it must be an attack.
    """
    exact: dict[str, Any] = {"parse_float": _amount, "parse_int": _amount, "parse_constant": _no_number}
    try:
        value = json.loads(body, **{**exact, **options})
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    _refuse_depth(value)
    return value


def encode(value: Any) -> bytes:
    """Writes JSON with the very digits of each Decimal: `Decimal("119.70")` becomes `119.70`.

    A float is written with the digits that Python shows for it, and refused where these are the debris of binary
    arithmetic (`0.1 + 0.2` has 17). A date is written as its midnight in Berlin, a datetime with Berlin's offset and
    three digits of a second, a UUID as text.

    Raises:
        Invalid: for a number that is none (NaN, Infinity) or too long, for a datetime without a time zone, and for a
            value that JSON has no word for.
    """
    return _text(value, DEEPEST).encode("ascii")


def _amount(digits: str) -> Decimal:
    try:
        number = Decimal(digits)
    except InvalidOperation:  # an exponent beyond all bounds
        raise AmountTooLong from None
    if not _bounded(number):
        raise AmountTooLong
    return number


def _bounded(number: Decimal) -> bool:
    """Tells whether a number can be written out: `1e999999999` would fill the memory."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):  # NaN and Infinity have a letter there
        return False
    return exponent >= SMALLEST_EXPONENT and number.adjusted() < MOST_DIGITS


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return
    raise ValueError("JSON nested too deeply")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _text(value: Any, depth: int) -> str:
    if depth == 0:
        raise Invalid("api_json_depth")
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value)
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_key(key)}:{_text(each, depth - 1)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_text(each, depth - 1) for each in value) + "]"
    if isinstance(value, date):  # a datetime is one, too
        return json.dumps(_moment(value))
    if isinstance(value, UUID):
        return json.dumps(str(value))
    raise Invalid("api_json_type", kind=type(value).__name__)


def _moment(value: date) -> str:
    try:
        return berlin.written(value)
    except ValueError:
        # Without a zone it could be any of two days: nothing is guessed.
        code = "api_json_naive" if getattr(value, "tzinfo", value) is None else "api_json_moment"
    except OverflowError:
        code = "api_json_moment"
    raise Invalid(code, moment=from_server(str(value), 60))


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise Invalid("api_json_type", kind=f"{type(key).__name__} (as a key)")
    return json.dumps(key)


def _number(value: float | Decimal) -> str:
    number = Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)
    digits = len(number.as_tuple().digits)
    if not _bounded(number) or (isinstance(value, float) and digits > MOST_DIGITS):
        raise Invalid("api_json_number", number=format(number, ".20g"))
    return format(number, "f")
