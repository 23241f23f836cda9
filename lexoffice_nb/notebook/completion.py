"""Completes the lines of the magics: options from their own parsers, presets, scopes and names of sessions."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, completion_matcher

from lexoffice_nb.notebook.command_line import options_of

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.magic import Magics

DEFAULT_NAME = "lexoffice"
_MATCHER = "lexoffice_nb.magics"
_FIRST = 1000.0  # before IPython's own matchers, which take the line for Python


def register(shell: InteractiveShell, kind: type[Magics]) -> None:
    """Has IPython complete each line magic of a class.

    A matcher of its own, since the hook `complete_command` cannot keep Jedi away, which takes the line for Python, and
    is told what stands after the last `=` or `,` only.
    """
    if _registered(shell):
        return
    parsers = {name: getattr(kind, name).parser for name in kind.magics["line"]}
    parsers |= {f"%{name}": getattr(kind, name).parser for name in kind.magics["cell"]}

    @completion_matcher(priority=_FIRST, identifier=_MATCHER, api_version=2)  # type: ignore[untyped-decorator]
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        from lexoffice_nb.notebook import sql_magic

        return sql_magic.complete(shell, context) or _match(shell, parsers, context)

    _matchers(shell).append(matcher)


def unregister(shell: InteractiveShell) -> None:
    """Takes that away again."""
    for matcher in _registered(shell):
        _matchers(shell).remove(matcher)


def _matchers(shell: InteractiveShell) -> list[Any]:
    matchers: list[Any] = shell.Completer.custom_matchers
    return matchers


def _registered(shell: InteractiveShell) -> list[Any]:
    return [m for m in _matchers(shell) if getattr(m, "matcher_identifier", "") == _MATCHER]


def _match(
    shell: InteractiveShell, parsers: dict[str, ArgumentParser], context: CompletionContext
) -> SimpleMatcherResult:
    """Gives what can stand at the end of a magic's line, and nothing else beside it."""
    magic, blank, line = context.text_until_cursor.lstrip().partition(" ")
    parser = parsers.get(magic.removeprefix("%"))
    if parser is None or not blank:
        return {"completions": []}
    words = line.split()
    word = words.pop() if words and not line[-1].isspace() else ""
    if word.startswith("-") and "=" not in word:
        found, begun = [option for option in options_of(parser) if option not in words], word
    else:
        option, _, value = word.partition("=") if word.startswith("-") else ("", "", word)
        *before, begun = value.split(",")  # scopes may stand between commas
        action = _open_action(parser, [*words, *([option] if option else [])])
        found = _values(action, shell, [*words, *before])
    fitting = [SimpleCompletion(text) for text in found if text.startswith(begun)]
    return {"completions": fitting, "matched_fragment": begun, "suppress": True, "ordered": True}


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
    if action.dest == "session":
        return _session_names(shell)
    if action.dest == "profile":
        return _profiles()
    if action.dest not in ("provider", "scope"):
        return []
    from lexoffice_nb.oauth.provider import Provider

    if action.dest == "provider":
        return list(Provider.names())
    named = [word.removeprefix("--provider=") for word in words]
    names = [word for word in named if word in Provider.names()] or ["sandbox"]
    scopes = [scope for name in names for scope in Provider.preset(name).get("scopes", ())]
    given = [part for word in words for part in word.split(",")]
    return [scope for scope in dict.fromkeys(scopes) if scope not in given]


def _profiles() -> list[str]:
    """Gives the profiles that are remembered on this machine or signed in here, as one word each."""
    from lexoffice_nb.errors import StoreError
    from lexoffice_nb.oauth.keyring_store import all_kept

    found: list[str] = []
    with contextlib.suppress(StoreError):
        found = [one.name.profile for one in all_kept() if one.name is not None]
    sign_in = sys.modules.get("lexoffice_nb.notebook.sign_in")
    found += [session.profile_name for session in sign_in.signed_in_sessions().values()] if sign_in else []
    return [f'"{name}"' if " " in name else name for name in dict.fromkeys(found)]


def _session_names(shell: InteractiveShell) -> list[str]:
    module = sys.modules.get("lexoffice_nb.session")
    kind = module.LexofficeSession if module else ()
    ours = [n for n, value in shell.user_ns.items() if isinstance(value, kind) and not n.startswith("_")]
    return list(dict.fromkeys([*ours, DEFAULT_NAME]))
