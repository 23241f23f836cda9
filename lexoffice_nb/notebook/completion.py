"""Completes the lines of the magics: options from their own parsers, presets, scopes and names of sessions."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from lexoffice_nb.notebook.command_line import options_of

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser
    from collections.abc import Iterator

    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.magic import Magics

DEFAULT_NAME = "lexoffice"
_HOOK = "complete_command"


def register(shell: InteractiveShell, kind: type[Magics]) -> None:
    """Has IPython complete each line magic of a class."""
    for magic, parser in _parsers(kind):
        hook = partial(_complete, parser)
        shell.set_hook(_HOOK, hook, str_key=magic)  # type: ignore[no-untyped-call]  # IPython's own


def unregister(shell: InteractiveShell, kind: type[Magics]) -> None:
    """Takes that away again."""
    completers = shell.strdispatchers[_HOOK].strs
    for magic, _ in _parsers(kind):
        completers.pop(magic, None)


def _parsers(kind: type[Magics]) -> Iterator[tuple[str, ArgumentParser]]:
    for name in kind.magics["line"]:
        yield f"%{name}", getattr(kind, name).parser


def _complete(parser: ArgumentParser, shell: InteractiveShell, event: Any) -> list[str]:
    """Gives what can stand at the end of the line. IPython picks what begins as the person has begun."""
    words = event.text_until_cursor.split()[1:]
    if event.symbol and words:
        words.pop()
    if event.symbol.startswith("-"):
        return [option for option in options_of(parser) if option not in words]
    return _values(_open_action(parser, words), shell, words)


def _open_action(parser: ArgumentParser, words: list[str]) -> Action | None:
    """Gives the option whose value comes next; None where a name comes."""
    given = [at for at, word in enumerate(words) if word.startswith("-")]
    if not given:
        return None
    action = parser._option_string_actions.get(words[given[-1]])
    if action is None or action.nargs == 0:
        return None
    return action if action.nargs == "+" or given[-1] == len(words) - 1 else None


def _values(action: Action | None, shell: InteractiveShell, words: list[str]) -> list[str]:
    if action is None:
        return _session_names(shell)
    if action.dest not in ("provider", "scope"):
        return []
    from lexoffice_nb.oauth.provider import Provider

    if action.dest == "provider":
        return list(Provider.names())
    names = [word for word in words if word in Provider.names()] or ["sandbox"]
    scopes = [scope for name in names for scope in Provider.preset(name).get("scopes", ())]
    return [scope for scope in dict.fromkeys(scopes) if scope not in words]


def _session_names(shell: InteractiveShell) -> list[str]:
    module = sys.modules.get("lexoffice_nb.session")
    kind = module.LexofficeSession if module else ()
    ours = [n for n, value in shell.user_ns.items() if isinstance(value, kind) and not n.startswith("_")]
    return list(dict.fromkeys([*ours, DEFAULT_NAME]))
