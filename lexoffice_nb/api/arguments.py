"""Checks what a caller gives an operation before anything is sent, and writes it as the vendor wants it. Pure."""

from __future__ import annotations

import difflib
import sys
import uuid
import warnings
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from lexoffice_nb.api.explanations import NAMED_OTHERWISE, signature
from lexoffice_nb.api.records import BERLIN
from lexoffice_nb.errors import Invalid, WrongCall
from lexoffice_nb.texts import from_server, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lexoffice_nb.api.endpoints import Filter, Operation


class UnknownValue(UserWarning):
    """A value that the vendor had not documented when this was written; it was sent as it is."""


def path_of(operation: Operation, places: Sequence[Any]) -> str:
    """Gives the path with the ids in it.

    Raises:
        WrongCall: if there are too few or too many.
        Invalid: if one is no UUID: anything else could be another path.
    """
    if len(places) != len(operation.places):
        raise WrongCall("resource_call", call=operation.call, arguments=str(signature(operation)))
    return operation.path.format(**{n: _uuid(n, v) for n, v in zip(operation.places, places, strict=True)})


def _uuid(name: str, value: Any) -> str:
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise Invalid("resource_id", name=name, value=_short(value)) from None


def query_of(operation: Operation, given: Mapping[str, Any]) -> str:
    """Gives the query with its question mark, or an empty text; as `checked`."""
    sent = checked(operation, given)
    return f"?{urlencode(sent, quote_via=quote)}" if sent else ""


def checked(operation: Operation, given: Mapping[str, Any]) -> dict[str, str]:
    """Gives the query parameters as they are sent; refuses names that the vendor would quietly pass over.

    Raises:
        Invalid: for a name that the operation does not have, a required one that is missing, or a wrong value.
    """
    known = {each.name: each for each in operation.filters}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(_camel(name), known, 1, 0.5)
            raise Invalid(
                "resource_filter",
                call=operation.call,
                name=_short(name),
                there=", ".join(near or known) or "-",
            )
    sent = {}
    for name, each in known.items():
        value = given.get(name)
        value = each.default if value is None else value
        if value is not None:
            sent[name] = _value(each, value)
        elif each.required:
            raise Invalid("resource_required", call=operation.call, name=name)
    return sent


def _camel(name: str) -> str:
    first, *others = str(name).split("_")
    return first + "".join(each[:1].upper() + each[1:] for each in others)


def _value(each: Filter, value: Any) -> str:
    match each.kind:
        case "uuid":
            return _uuid(each.name, value)
        case "date":
            return _berlin_day(each.name, value).isoformat()
        case "flag":
            if value is True or value is False:
                return "true" if value else "false"
        case "number":
            if str(value).isascii() and str(value).isdigit():
                return str(value)
        case "choice":
            return _choice(each, value)
        case _:
            if isinstance(value, str) and len(value) >= each.shortest:
                # The vendor searches the text as it is stored, which is with & < > as HTML entities.
                return _entities(value) if each.escaped else value
    raise Invalid("resource_value", name=each.name, value=_short(value), wanted=each.wants)


def _choice(each: Filter, value: Any) -> str:
    values = (
        [value]
        if isinstance(value, str)
        else list(value)
        if each.several and isinstance(value, (list, tuple, set))
        else []
    )
    if not values or not all(isinstance(one, str) and one for one in values):
        raise Invalid("resource_value", name=each.name, value=_short(value), wanted=" | ".join(each.choices))
    singles = [single for one in values for single in (one.split(",") if each.several else [one])]
    for single in singles:
        if single not in each.choices and f"{single},ASC" not in each.choices:  # an order may leave out its way
            warnings.warn(
                text("resource.unknown_value", "en", name=each.name, value=_short(single)),
                UnknownValue,
                stacklevel=_callers_level(),
            )
    return ",".join(singles)


def _callers_level() -> int:
    """Gives the `stacklevel` for a warning of the function that calls this: the first frame outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("lexoffice_nb."):
        frame, level = frame.f_back, level + 1
    return level


def _berlin_day(name: str, value: Any) -> date:
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            return value.astimezone(BERLIN).date()
    elif isinstance(value, date):
        return value
    elif isinstance(value, str) and len(value) == len("2025-03-01"):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise Invalid("resource_date", name=name, value=_short(value))


def _entities(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def refuse_misspelt_options(operation: Operation, given: Iterable[str]) -> None:
    """Refuses a member that looks like an option, such as `finalise`: the API would quietly make a draft.

    Raises:
        Invalid: `resource_option` if there is one.
    """
    options = {
        name: NAMED_OTHERWISE.get(each.name, each.name)
        for each in operation.filters
        for name in (each.name, NAMED_OTHERWISE.get(each.name, each.name))
    }
    for name in given:
        if near := difflib.get_close_matches(str(name).lower(), options, 1, 0.8):
            raise Invalid("resource_option", call=operation.call, name=_short(name), option=options[near[0]])


def body_of(body: Any, fields: Mapping[str, Any]) -> Any:
    """Gives the document to send: what is given as one, with the members that are given by name.

    Raises:
        Invalid: if there is nothing, or something that has no members.
    """
    if isinstance(body, list) and not fields:
        return body
    if body is not None and not isinstance(body, dict):
        raise Invalid("resource_body", kind=type(body).__name__)
    whole = {**(body or {}), **fields}
    if not whole:
        raise Invalid("resource_body", kind="nothing")
    return whole


def _short(value: Any) -> str:
    shown = str(value)
    return from_server(shown if shown.strip() else repr(value), 60)
