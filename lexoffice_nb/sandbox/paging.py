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


def page_number(arguments: Mapping[str, str]) -> int:
    """Which page is asked for, counted from 0."""
    return _whole(arguments, "page", 0, 0, 10**6)


def page_size(arguments: Mapping[str, str], largest: int = LARGEST_PAGE) -> int:
    """How many rows a page holds: 25, or what was asked for up to the largest."""
    return _whole(arguments, "size", _DEFAULT_PAGE, 1, largest)


def offset_within(page: int, size: int, window: int) -> int:
    """The first row of a page, if the whole page lies within the rows that can be read at all.

    Raises:
        ApiProblem: 500, as the vendor answers when it does not.
    """
    if (page + 1) * size > window:
        raise ApiProblem(500, "Maximum search window size exceeded")
    return page * size


def cut_page(
    rows: Sequence[Any], arguments: Mapping[str, str], property_: str | None, ascending: bool
) -> dict[str, Any]:
    """One page of sorted rows; `page` counts from 0, `size` is at most 250."""
    number, size = page_number(arguments), page_size(arguments)
    return envelope(rows[number * size : (number + 1) * size], len(rows), number, size, property_, ascending)


def envelope(
    content: Sequence[Any], total: int, number: int, size: int, property_: str | None, ascending: bool
) -> dict[str, Any]:
    """What surrounds a page.

    Args:
        content: The rows of this page.
        total: How many rows there are on all pages.
        number: Number of the page.
        size: How many rows fit a page.
        property_: What the rows are sorted by, or None for the endpoint that does not say so.
        ascending: Which way.
    """
    pages = -(-total // size)
    sort = {
        "property": property_,
        "direction": "ASC" if ascending else "DESC",
        "ignoreCase": False,
        "nullHandling": "NATIVE",
        "ascending": ascending,
    }
    return {
        "content": list(content),
        "first": number == 0,
        "last": number >= pages - 1,
        "totalPages": pages,
        "totalElements": total,
        "numberOfElements": len(content),
        "size": size,
        "number": number,
        "sort": None if property_ is None else [sort],
    }


def _whole(arguments: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = arguments.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 7 or not least <= int(value) <= most:
        raise invalid(name, value)
    return int(value)
