"""A card that nothing happens in any more, as HTML: it needs no kernel, so a saved notebook still shows it tomorrow.

A widget of a kernel that is gone is an error message there. Everything is inline, as in all that a file keeps: a style
sheet would be the whole page's, and a notebook that nobody trusts yet loses it.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# As in login_widget.css; where a place has no colours of its own, what stands around it counts.
_SOFT = "color:var(--jp-ui-font-color2,inherit)"
_LINE = "1px solid var(--jp-border-color2,#8884)"
_CARD = (
    "box-sizing:border-box;max-width:640px;margin:4px 0;overflow:hidden;border-radius:6px;overflow-wrap:anywhere;"
    "border:1px solid var(--jp-border-color1,#8888);background:var(--jp-layout-color1,transparent);"
    "color:var(--jp-ui-font-color1,inherit);line-height:1.5;font-size:var(--jp-ui-font-size1,13px);"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-variant-numeric:tabular-nums"
)
_HEAD = "display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:4px 16px;padding:12px 16px"
_TITLE = "font-size:1.16em;font-weight:600;line-height:1.35"
_BESIDE = "display:flex;align-items:flex-start;gap:8px"
_PROBLEM = (
    f"{_BESIDE};padding:12px 16px;border-top:{_LINE};border-bottom:{_LINE};margin-bottom:14px;"
    "background:color-mix(in srgb,var(--jp-error-color1,#d32f2f) 8%,transparent)"
)
_TRACK = (
    "box-sizing:border-box;height:8px;overflow:hidden;border-radius:4px;margin-bottom:6px;"
    "border:1px solid var(--jp-border-color1,#8888);background:var(--jp-layout-color2,#8883)"
)
_FILL = "height:100%;background:var(--jp-ui-font-color2,#888)"
_FACTS = "display:grid;grid-template-columns:fit-content(12em) 1fr;gap:8px 20px;padding:0 16px 16px"
_ABOVE_FACTS = f"border-top:{_LINE};padding-top:14px;"
_NOTES = f"display:grid;gap:4px;padding:12px 16px;border-top:{_LINE}"
_ICON = (
    "<svg aria-hidden='true' width='16' height='16' viewBox='0 0 16 16' fill='none' stroke-width='1.5'"
    " stroke-linecap='round' stroke-linejoin='round' style='flex:none;margin-top:2px;stroke:{colour}'>{shape}</svg>"
)
_RING = "<circle cx='8' cy='8' r='6.25'/>"
_SHAPES = {
    "ok": f"{_RING}<path d='M5 8.25 7.1 10.3 11 6'/>",
    "stopped": f"{_RING}<path d='M6 6h4v4H6z'/>",
    "error": f"{_RING}<path d='M8 4.75v4M8 11.2v.05'/>",
    "info": f"{_RING}<path d='M8 7.25v4M8 4.8v.05'/>",
}
_COLOURS = {"ok": "var(--jp-success-color1,#388e3c)", "error": "var(--jp-error-color1,#d32f2f)"}


def still(card: Mapping[str, Any]) -> dict[str, str]:
    """Gives a card as it is kept in a file.

    Args:
        card: what the widget is sent: its title, status, bar, rows, problem and notes; its buttons are left away.

    Returns:
        What it is as `text/html` and as `text/plain`.
    """
    title, status = card["title"], card["status"]
    stands = f"<div style='{_BESIDE}'>{_icon(status['icon'])}<span role='status'>{_words(status['text'])}</span></div>"
    parts = [
        f"<div style='{_HEAD}'><div role='heading' aria-level='3' style='{_TITLE}'>{_words(title)}</div>{stands}</div>",
        _problem(card["problem"]),
        _bar(card["bar"]),
        _facts(card["rows"], is_below_head=not card["problem"] and not card["bar"]),
        _notes(card["notes"]),
    ]
    label = escape(title, quote=True)
    html = (
        f"<div class='mathjax_ignore tex2jax_ignore' role='group' lang='{card['lang']}' aria-label='{label}'"
        f" style='{_CARD}'>{''.join(parts)}</div>"
    )
    return {"text/plain": _plain(card), "text/html": html}


def _plain(card: Mapping[str, Any]) -> str:
    lines = [f"{card['title']}: {card['status']['text']}"]
    lines += [card["bar"]["text"]] if card["bar"] else []
    lines += [card["problem"]["what"], card["problem"]["next"]] if card["problem"] else []
    lines += [f"{row['label']}: {row['value']}" for row in card["rows"]]
    return "\n".join([*lines, *card["notes"]])


def _words(words: object) -> str:
    return f"<bdi>{escape(str(words))}</bdi>"


def _icon(name: str) -> str:
    colour = _COLOURS.get(name, "var(--jp-ui-font-color2,currentColor)")
    return _ICON.format(colour=colour, shape=_SHAPES.get(name, _SHAPES["info"]))


def _problem(problem: Mapping[str, str] | None) -> str:
    if not problem:
        return ""
    words = f"<div style='font-weight:600'>{_words(problem['what'])}</div><div>{_words(problem['next'])}</div>"
    return f"<div style='{_PROBLEM}'>{_icon('error')}<div>{words}</div></div>"


def _bar(bar: Mapping[str, Any] | None) -> str:
    """How far it came. It is no progress any more, so it is a picture; the words beneath it say the same."""
    if not bar:
        return ""
    share = min(1.0, bar["done"] / bar["total"]) if bar["total"] else 0.0
    return (
        f"<div style='padding:0 16px 14px'><div aria-hidden='true' style='{_TRACK}'>"
        f"<div style='width:{share:.1%};{_FILL}'></div></div>"
        f"<div style='font-weight:600'>{_words(bar['text'])}</div></div>"
    )


def _facts(rows: list[Mapping[str, str]], *, is_below_head: bool) -> str:
    if not rows:
        return ""
    each = "".join(
        f"<div style='display:contents'><div style='{_SOFT}'>{_words(row['label'])}</div>"
        f"<div>{_words(row['value'])}</div></div>"
        for row in rows
    )
    return f"<div style='{_FACTS};{_ABOVE_FACTS if is_below_head else ''}'>{each}</div>"


def _notes(notes: list[str]) -> str:
    if not notes:
        return ""
    each = "".join(f"<div style='{_BESIDE}'>{_icon('info')}<span>{_words(note)}</span></div>" for note in notes)
    return f"<div style='{_NOTES}'>{each}</div>"
