"""Reads the line of a magic, and repeats nothing of it that could be secret.

A key that was typed into a cell by mistake must not be in the cell's output as well, which argparse would put it into.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import parse_argstring
from IPython.utils.process import arg_split  # type: ignore[attr-defined]  # IPython re-exports it

from lexoffice_nb.errors import LexofficeError
from lexoffice_nb.texts import text

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")

# What people try; a value after any of them is a secret.
_SECRET_OPTIONS = re.compile(r"--?(client[-_]?)?(secret|key|apikey|token|(access|refresh|id)[-_]?token|password|code)")
_EXPECTED = re.compile(r"argument (--[a-z-]+)[^:]*: expected .*")
_OPTION = re.compile(r"--?[a-z][a-z-]{0,20}")


def readable(more: str = "") -> Callable[[Function], Function]:
    """Makes the help of a magic, which `%magic?` shows as it is, one for people: without the marks of a document.

    Args:
        more: a last paragraph.
    """

    def change(magic: Function) -> Function:
        words = _name_first(re.sub(r"^::\n\n", "usage:\n", magic.__doc__ or "")).replace("::\n", ":\n")
        magic.__doc__ = f"{words.rstrip()}\n\n{more}".rstrip() + "\n"
        return magic

    return change


def _name_first(usage: str) -> str:
    """Puts the name in front of the options: after one that takes several values it would be taken for one of them."""
    return re.sub(r"(%\w+)((?:\s+\[-[^\n]*)+?)\s+\[NAME\]", r"\1 [NAME]\2", usage, count=1)


def options_of(parser: ArgumentParser) -> list[str]:
    """Gives the options of a magic, in the order of its help."""
    return [option for action in parser._actions for option in action.option_strings]


def read_line(magic: Callable[[str], object], line: str) -> Namespace:
    """Gives the arguments on a magic's line.

    Raises:
        LexofficeError: `secret_in_cell` if a secret was given.
        UsageError: if the line cannot be understood.
    """
    parser: ArgumentParser = magic.parser  # type: ignore[attr-defined]  # put there by @magic_arguments
    _check_options(parser, line)
    problem = ""
    try:
        arguments: Namespace = parse_argstring(magic, line)  # type: ignore[no-untyped-call]  # IPython's own
    except UsageError as error:
        problem = str(error)
    else:
        return _unquoted(arguments)
    expected = _EXPECTED.fullmatch(problem)
    if expected:
        raise UsageError(text("usage.expected", option=expected[1]))
    # IPython writes `::` in front, for documents that are made of it.
    usage = _name_first(parser.format_usage().removeprefix("::"))
    raise UsageError(text("usage.arguments", usage=" ".join(usage.split())))


def _unquoted(arguments: Namespace) -> Namespace:
    """Takes the quotes away that hold a value with blanks together: IPython leaves them."""
    for name, value in vars(arguments).items():
        if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            setattr(arguments, name, value[1:-1])
    return arguments


def _check_options(parser: ArgumentParser, line: str) -> None:
    known = options_of(parser)
    for option, has_value in _given_options(line):
        if option in known and not (has_value and option == "--api-key"):
            continue
        if option == "--api-key" or _SECRET_OPTIONS.fullmatch(option):
            raise LexofficeError("secret_in_cell")
        if option in ("--help", "-h"):
            raise UsageError(text("usage.help", magic=parser.prog))
        shown = option if _OPTION.fullmatch(option) else "--…"
        words = "usage.unknown_option" if known else "usage.no_options"
        raise UsageError(text(words, option=shown, known=", ".join(known)))


def _given_options(line: str) -> list[tuple[str, bool]]:
    """Gives each option on the line, and whether a value hangs on it."""
    try:
        words: list[Any] = arg_split(line)
    except ValueError:
        words = []
    else:
        return [(word.partition("=")[0], "=" in word) for word in words if word.startswith("-")]
    raise UsageError(text("usage.quotation"))


def looks_secret(name: str) -> bool:
    """Whether a name looks like a key that was meant for another place: long, and with many digits or mixed letters."""
    digits = sum(character.isdigit() for character in name)
    mixed = digits > 0 and name != name.lower() and name != name.upper()
    return len(name) > 40 or (len(name) >= 16 and digits >= 5) or (len(name) >= 20 and mixed)
