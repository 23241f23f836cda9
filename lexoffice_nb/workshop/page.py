"""What the workshop shows in a cell: a title and a few blocks, as text and as HTML. Everything is escaped."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import TYPE_CHECKING

from lexoffice_nb.texts import current_language
from lexoffice_nb.workshop.words import say

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 100
_QUIET = "var(--jp-ui-font-color2,#616161)"
_CARD = (
    "max-width:640px;box-sizing:border-box;padding:16px 20px;border:1px solid var(--jp-border-color2,#bdbdbd);"
    "border-radius:6px;background:var(--jp-layout-color1,transparent);color:var(--jp-ui-font-color1,inherit);"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);line-height:1.5"
)
# As in the lesson, only the mark is coloured, and the words have the text colour. The values beside the theme's read on
# a light and on a dark page, since there it is not known which (3 : 1 at least, WCAG 1.4.11).
_MARKS = {True: ("✓", "var(--jp-success-color1,#388e3c)"), False: ("○", "var(--jp-warn-color0,#e65100)")}
_VERDICT = "margin:0 0 10px;font-weight:700;font-size:1.2em;line-height:1.35;overflow-wrap:anywhere"
_HEADING = "margin:0 0 10px;font-weight:600;font-size:1.08em"
_LABEL = "margin:10px 0 2px;font-weight:600"
_TEXT = "margin:0 0 6px;overflow-wrap:anywhere"
_LIST = "list-style:none;margin:0 0 6px;padding:0"
_MONO = "font-family:var(--jp-code-font-family,monospace)"
_CODE = f"margin:0 0 6px;padding:8px 10px;white-space:pre-wrap;overflow-wrap:anywhere;{_MONO}"


@dataclass(frozen=True)
class Line:
    """A line of a list; `done` puts a mark before it, and behind it a word for who cannot see the mark.

    `says_so` means that the text has that word already.
    """

    text: str
    done: bool | None = None
    mono: str = ""
    says_so: bool = False


@dataclass(frozen=True)
class Block:
    """A part of a page: a label, and text, lines or code below it. What is empty is left out."""

    label: str = ""
    text: str = ""
    lines: Sequence[Line] = ()
    code: str = ""


class Page:
    """What can be shown. A subclass says its title and blocks; neither holds anything secret."""

    def _title(self) -> str:
        raise NotImplementedError

    def _blocks(self) -> Sequence[Block]:
        raise NotImplementedError

    def _verdict(self) -> Line | None:
        """What is said before all else, with a mark."""
        return None

    def __repr__(self) -> str:
        verdict = self._verdict()
        first = [_plain(Block(lines=[verdict]))[0].strip()] if verdict else []
        parts = [*first, self._title(), *("\n".join(_plain(block)) for block in self._blocks())]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        body = "".join(_html(block) for block in self._blocks())
        title = escape(self._title())
        verdict = self._verdict()
        first = f"<p style='{_VERDICT}'>{_mark(bool(verdict.done))} {escape(verdict.text)}</p>" if verdict else ""
        return (
            f"<section class='mathjax_ignore tex2jax_ignore' lang='{current_language()}' "
            f"aria-label='{title}' style='{_CARD}'>{first}<p style='{_HEADING}'>{title}</p>{body}</section>"
        )


def _plain(block: Block) -> list[str]:
    shown = [block.label] if block.label else []
    if block.text:
        shown += [_wrapped(block.text, "  " if block.label else "", "")]
    for line in block.lines:
        mark = "" if line.done is None else ("[x] " if line.done else "[ ] ")
        shown.append(_wrapped(f"{line.mono + '  ' if line.mono else ''}{line.text}", f"  {mark}", " " * len(mark)))
    return shown + ([block.code.rstrip("\n")] if block.code else [])


def _wrapped(text: str, first: str, further: str) -> str:
    # No break inside a word: code in a hint is copied from here.
    return fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=("  " if first else "") + further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _html(block: Block) -> str:
    label = f"<p style='{_LABEL}'>{escape(block.label)}</p>" if block.label else ""
    text = f"<p style='{_TEXT}'>{escape(block.text)}</p>" if block.text else ""
    lines = "".join(_item(line) for line in block.lines)
    listed = f"<ul style='{_LIST}'>{lines}</ul>" if lines else ""
    code = f"<pre style='{_CODE}'><code>{escape(block.code)}</code></pre>" if block.code else ""
    return label + text + listed + code


def _item(line: Line) -> str:
    mono = f"<code style='{_MONO}'>{escape(line.mono)}</code> " if line.mono else ""
    if line.done is None:
        return f"<li style='margin:2px 0;overflow-wrap:anywhere'>{mono}{escape(line.text)}</li>"
    word = say("mark.done" if line.done else "mark.missing")
    said = "" if line.says_so else f" <span style='color:{_QUIET}'>({escape(word)})</span>"
    return f"<li style='margin:2px 0'>{_mark(line.done)} {mono}{escape(line.text)}{said}</li>"


def _mark(done: bool) -> str:
    mark, colour = _MARKS[done]
    return f"<span aria-hidden='true' style='font-weight:700;color:{colour}'>{mark}</span>"
