"""Pages of a list, in the vendor's envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox.problems import ApiProblem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST_PAGE = 250
_DEFAULT_PAGE = 25


def invalid(name: str, value: str) -> ApiProblem:
    """The vendor's refusal of a query parameter."""
    return ApiProblem(400, f"Invalid value '{value[:100]}' received for request parameter '{name}'")


def cut_page(rows: Sequence[Any], arguments: Mapping[str, str], property_: str, ascending: bool) -> dict[str, Any]:
    """One page of sorted rows; `page` counts from 0, `size` is at most 250."""
    number = _whole(arguments, "page", 0, 0, 10**6)
    size = _whole(arguments, "size", _DEFAULT_PAGE, 1, LARGEST_PAGE)
    pages = -(-len(rows) // size)
    content = list(rows[number * size : (number + 1) * size])
    return {
        "content": content,
        "first": number == 0,
        "last": number >= pages - 1,
        "totalPages": pages,
        "totalElements": len(rows),
        "numberOfElements": len(content),
        "size": size,
        "number": number,
        "sort": [
            {
                "property": property_,
                "direction": "ASC" if ascending else "DESC",
                "ignoreCase": False,
                "nullHandling": "NATIVE",
                "ascending": ascending,
            }
        ],
    }


def _whole(arguments: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = arguments.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 7 or not least <= int(value) <= most:
        raise invalid(name, value)
    return int(value)
