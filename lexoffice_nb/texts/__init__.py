"""What the product says to people, in English and German, keyed by a code. The lowest layer.

Each entry of `en.TEXTS` and `de.TEXTS` is a format string. Errors have two: `<code>` says what happened and why,
`<code>.next` what to do now.
"""

from __future__ import annotations

import importlib
import os
import re
import unicodedata
from datetime import UTC, datetime
from functools import cache

LANGUAGES = ("en", "de")
FROM_SERVER_LIMIT = 200
# JupyterLab makes these clickable by itself, wherever they stand in a word: a scheme with `//`, `data:` and `www.`
_LINKABLE = re.compile(r"(?i):(?=//)|(?<=data):|(?<=www)[.]")

_chosen: str | None = None


@cache
def _texts(language: str) -> dict[str, str]:
    texts: dict[str, str] = importlib.import_module(f"{__name__}.{language}").TEXTS
    return texts


def text(key: str, language: str | None = None, /, **values: object) -> str:
    """Gives the text of a key in a language (the person's, where none is named), with the values filled in.

    Raises:
        KeyError: if there is no text of that key: a mistake in the program.
    """
    return _texts(language or current_language())[key].format(**values)


def has_text(key: str) -> bool:
    """Tells whether there is a text of this key."""
    return key in _texts("en")


def pick(tag: str | None) -> str | None:
    """Gives the language of ours that a tag such as `de-AT` or `de_DE.UTF-8` asks for, or None."""
    language = re.split(r"[-_.]", tag or "")[0].lower()
    return language if language in LANGUAGES else None


def use_language(tag: str | None) -> None:
    """Sets the person's language for this process; `auto`, None or an unknown tag return to the machine's locale."""
    global _chosen
    _chosen = pick(tag)


def current_language() -> str:
    """Gives the language in use: the chosen one, else the first that the machine's locale names, else English."""
    if _chosen:
        return _chosen
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return pick(value) or "en"
    return "en"


def clock(moment: datetime) -> str:
    """Gives a moment as a person reads it: the time, with the day where it is not today."""
    here = moment.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return here.strftime("%H:%M") if here.date() == today else here.strftime(text("date_and_time"))


def day(moment: datetime) -> str:
    """Gives a moment's day as a person reads it, in the machine's time zone."""
    return moment.astimezone().strftime(text("date"))


def from_server(value: object, limit: int = FROM_SERVER_LIMIT) -> str:
    """Makes text that came from outside harmless to show: short, printable, and with nothing a front end would link.

    Control characters, escape sequences and bidirectional marks go; white space is folded; `://` loses its meaning.
    """
    raw = value if isinstance(value, str) else _repr(value)
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in raw[: 8 * limit])
    harmless = _LINKABLE.sub(lambda match: f"[{match[0]}]", " ".join(printable.split()))
    return harmless if len(harmless) <= limit else harmless[: limit - 1] + "…"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number with too many digits
        return type(value).__name__
