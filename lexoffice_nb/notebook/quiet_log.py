"""Keeps what is pasted into a card out of the kernel's own log.

At DEBUG ipykernel and comm write down every message, those of the card included.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

HIDDEN = "••••"
# Where a message has the card's own part: in its content, or with the content in it.
_PATHS = (("data", "content"), ("content", "data", "content"))


class PastedTextHidden(logging.Filter):
    """Writes dots where a message of a card has its text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass, changed where it must be."""
        if isinstance(record.args, Mapping):  # what `logging` makes of a single mapping
            record.args = _hidden(record.args)
        elif record.args:
            record.args = tuple(_hidden(argument) for argument in record.args)
        return True


_FILTER = PastedTextHidden()


def hide(shell: InteractiveShell | None) -> None:
    """Installs the filter in the logs of this kernel."""
    for logger in _loggers(shell):
        logger.addFilter(_FILTER)  # once, however often it is called


def stop_hiding(shell: InteractiveShell | None) -> None:
    """Takes the filter away."""
    for logger in _loggers(shell):
        logger.removeFilter(_FILTER)


def _loggers(shell: InteractiveShell | None) -> list[logging.Logger]:
    log = getattr(getattr(shell, "kernel", None), "log", None)
    log = getattr(log, "logger", log)  # an adapter has the logger inside
    return [logging.getLogger("Comm"), *([log] if isinstance(log, logging.Logger) else [])]


def _hidden(argument: Any) -> Any:
    """Gives a copy without the text, of a message that has one; anything else as it is."""
    for path in _PATHS:
        part = argument
        for name in path:
            part = part.get(name) if isinstance(part, Mapping) else None
        if isinstance(part, Mapping) and "kind" in part and "text" in part:
            return _with(argument, path, {**part, "text": HIDDEN})
    return argument


def _with(message: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**message, first: _with(message[first], tuple(rest), value) if rest else value}
