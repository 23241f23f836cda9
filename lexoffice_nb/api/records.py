"""`Record`: what the API answered, as a dictionary whose members are attributes as well. Exact, and in Berlin's time.

    invoice = session.invoices.get(id)
    invoice.voucherDate              # an aware datetime in Europe/Berlin
    invoice.totalPrice.totalNetAmount   # a Decimal
    invoice.get("dueDate")           # None: the API leaves out what is empty, and so does the record
    invoice["items"]                 # a member whose name is a method's

Nothing is taken away or added: unknown members and unknown values of known ones stay what and where they are.
"""

from __future__ import annotations

import difflib
import itertools
import keyword
import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lexoffice_nb.api import berlin
from lexoffice_nb.api.berlin import BERLIN as BERLIN  # for all that reads records
from lexoffice_nb.api.table import most_telling, records_html, records_text
from lexoffice_nb.errors import NoMember
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Iterable

# Every member of the vendor's records that is an amount of money: each may come as text, as `openAmount` once did.
AMOUNTS = frozenset(
    {
        "amount",
        "claimedGrossAmount",
        "grossAmount",
        "grossPrice",
        "lineItemAmount",
        "netAmount",
        "netPrice",
        "openAmount",
        "receivedGrossAmount",
        "receivedNetAmount",
        "receivedTaxAmount",
        "taxAmount",
        "totalAmount",
        "totalDiscountAbsolute",
        "totalGrossAmount",
        "totalNetAmount",
        "totalTaxAmount",
    }
)
_AMOUNT = re.compile(r"-?[0-9]{1,15}(?:[.][0-9]{1,4})?")
LONGEST_REPR = 120
_LONGEST_VALUE = 40
_MOST_NAMES = 200


class Record(dict[str, Any]):
    """A dictionary whose members can be read, set and deleted as attributes.

    The methods of a dictionary keep their names: a member called `items` is `record["items"]`, and so is one that
    begins with an underscore, or is no name in Python.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        # What begins with an underscore is asked by Python and by front ends; nobody who answers may act for us.
        if name.startswith("_"):
            raise AttributeError(f"a record has no attribute {name}")
        try:
            return self[name]
        except KeyError:
            pass
        raise self._without(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[_reached(name)] = value

    def __delattr__(self, name: str) -> None:
        if _reached(name) not in self:
            raise self._without(name)
        del self[name]

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *(name for name in self if name.isidentifier() and _is_reached(name))]

    def copy(self) -> Record:
        """Gives a copy whose parts are shared, as `dict.copy` does."""
        return type(self)(self)

    def __repr__(self) -> str:
        told = ""
        for name in most_telling(itertools.islice(self, _MOST_NAMES)):
            more = from_server(f"{name}={_briefly(self[name])}", _LONGEST_VALUE)
            if len(told) + len(more) > LONGEST_REPR - len("Record(, , …)"):
                return f"Record({told}, …)"
            told = f"{told}, {more}" if told else more
        return f"Record({told}, …)" if len(self) > _MOST_NAMES else f"Record({told})"

    def _repr_html_(self) -> str | None:
        """Shows the record as a table in a notebook."""
        return records_html(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Shows the record with a line for each member; one among others in a list is short."""
        alone = len(getattr(printer, "stack", ())) < 2
        shown = records_text(self) if alone and self and not cycle else None
        for number, line in enumerate((shown or repr(self)).split("\n")):
            if number:
                printer.break_()
            printer.text(line)

    def _ipython_key_completions_(self) -> list[str]:
        """Offers the members after `record["`."""
        return [name for name in self if name.isprintable() and len(name) <= LONGEST_REPR]

    def _without(self, name: str) -> NoMember:
        names = [str(each) for each in itertools.islice(self, _MOST_NAMES)]
        nearest = difflib.get_close_matches(name[:LONGEST_REPR], names, 1, 0.75)
        asked, there = from_server(name, 60), from_server(", ".join(names) or "-", 150)
        if nearest:
            return NoMember("record_no_member_near", name=asked, nearest=from_server(nearest[0], 60))
        return NoMember("record_no_member", name=asked, names=there)


class Records(list[Any]):
    """A list that shows itself as a table, if records are all that it has."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        """Shows the records as a table in a notebook."""
        return records_html(self) if self else None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Shows the records as a table; as a part of something else, as any list."""
        alone = len(getattr(printer, "stack", ())) < 2
        shown = records_text(self) if alone and self and not cycle else None
        if shown is None:
            printer.pretty(list(self))
            return
        for number, line in enumerate(shown.split("\n")):
            if number:
                printer.break_()
            printer.text(line)


def read(value: Any) -> Any:
    """Turns decoded JSON into records: timestamps and dates, and amounts that came as text, get their types.

    Only members called `date`, or whose names end in `Date`, are dates, and only in exactly the vendor's form: a
    customer called 2025-03-01 stays text. So do dates that are on no calendar, and amounts that are no numbers.

    Args:
        value: what `exact_json.decode` gave.
    """
    if isinstance(value, dict):
        return Record((name, _member(name, part)) for name, part in value.items())
    if isinstance(value, list):
        return Records(read(part) for part in value)
    return value


def _member(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return read(value)
    if name in AMOUNTS:
        return Decimal(value) if _AMOUNT.fullmatch(value) else value
    if name == "date" or name.endswith("Date"):
        moment = berlin.read(value)
        return value if moment is None else moment
    return value


def _is_reached(name: str) -> bool:
    return not (name.startswith("_") or hasattr(dict, name) or keyword.iskeyword(name))


def _reached(name: str) -> str:
    if name.startswith("_") or hasattr(dict, name):
        raise NoMember("record_brackets", name=from_server(name, 60))
    return name


def _briefly(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:_LONGEST_VALUE])
    if isinstance(value, date):
        return berlin.shown(value)
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[…]" if value else "[]"
    return str(value)[:_LONGEST_VALUE]
