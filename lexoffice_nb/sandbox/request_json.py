"""The JSON of requests and of what was written: numbers stay the decimal digits that they were sent as."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from lexoffice_nb.sandbox.problems import ApiProblem
from lexoffice_nb.sandbox.shapes import Exact

_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?")


def read_json(octets: bytes) -> Any:
    """A request's body, with `Decimal` for every number that is not whole.

    Raises:
        ApiProblem: 400, if it is no JSON, or nested or long beyond reason.
    """
    try:
        text = octets.decode("utf-8")
        return json.loads(text, parse_float=_decimal, parse_int=_whole, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ApiProblem(400, "JSON parse error: the request body cannot be read") from None


def stored_json(text: str) -> Any:
    """What was written by `shapes.to_json`, with `Exact` numbers as it had them."""
    return json.loads(text, parse_float=lambda digits: exact(Decimal(digits)))


def exact(number: Decimal) -> Exact:
    """A number with all its places, two at least."""
    places = max(2, -int(number.as_tuple().exponent))
    return Exact(int(number.scaleb(places)), places)


def _decimal(digits: str) -> Decimal:
    if not _NUMBER.fullmatch(digits):
        raise ValueError("a number beyond reason")
    return Decimal(digits)


def _whole(digits: str) -> int:
    if len(digits) > 30:
        raise ValueError("a number beyond reason")
    return int(digits)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
