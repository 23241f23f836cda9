"""The vendor's dates and times. Its books are kept in Germany's time, so that a day is a day in Berlin. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_PLAIN_DATE = re.compile(_DATE)
# yyyy-MM-ddTHH:mm:ss.SSSXXX, the one form of a timestamp in the vendor's answers, and in what it takes.
_TIMESTAMP = re.compile(_DATE + r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}(?:Z|[+-][0-9]{2}:[0-5][0-9])")
_MINUTE = timedelta(minutes=1)


def read(text: str) -> datetime | date | None:
    """Reads a timestamp or a plain date in exactly the vendor's form.

    A timestamp is converted to Berlin's time, whatever its offset: in UTC an invoice of the 1st would be one of the
    month before.

    Returns:
        An aware datetime, a date, or None for any other text and for what is on no calendar.
    """
    try:
        if _PLAIN_DATE.fullmatch(text):
            return date.fromisoformat(text)
        return here(datetime.fromisoformat(text)) if _TIMESTAMP.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def here(moment: datetime) -> datetime:
    """Gives an aware moment in Berlin's time; an hour that summer time skips becomes the one that clocks showed.

    Raises:
        ValueError: if its time zone is not known, or it is from before 1893, when Berlin's clocks had seconds of
            their own that the vendor's form has no place for.
        OverflowError: if it is before the first year or after the last.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("no time zone")
    local = moment.astimezone(UTC).astimezone(BERLIN)
    if (local.utcoffset() or _MINUTE) % _MINUTE:
        raise ValueError("before 1893")
    return local


def written(moment: date) -> str:
    """Writes a date (its midnight in Berlin) or an aware datetime as the vendor takes them, with milliseconds.

    Raises:
        ValueError: as `here`.
        OverflowError: as `here`.
    """
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time(), BERLIN)
    return here(moment).isoformat(timespec="milliseconds")


def shown(moment: date) -> str:
    """Gives a date or a datetime for the eye: the day in Berlin, with the time where it is not midnight."""
    if not isinstance(moment, datetime):
        return str(moment)
    try:
        moment = here(moment)
    except (ValueError, OverflowError):
        return str(moment)
    return moment.strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
