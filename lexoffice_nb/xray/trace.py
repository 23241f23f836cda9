"""`Trace`: the X-ray of one sign-in, as a diagram in a notebook, a table in a terminal, a page or a HAR file."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexoffice_nb.errors import StoreError
from lexoffice_nb.oauth.private_file import give_name
from lexoffice_nb.oauth.trace import ATTACKER, BROWSER, LANES, LEXOFFICE, NOTEBOOK, OTHERS, Hidden
from lexoffice_nb.texts import day, from_server, text
from lexoffice_nb.xray.har import har, phrase
from lexoffice_nb.xray.sequence import STYLE, Message, layout, svg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from lexoffice_nb.oauth.trace import Step
    from lexoffice_nb.xray.sequence import Drawing

_NOTE = 24  # characters of a line in a note: what is broken between two words is not cut off
_KILO = 1000


@dataclass(frozen=True)
class Trace:
    """What a sign-in did, step by step. It holds no secret, so it can be shown, kept, pickled and passed on.

    Attributes:
        steps: what happened, in the order of time.
        provider: what the provider is called.
        who: whose account it is, or empty.
        left_out: how many older steps were dropped.
    """

    steps: tuple[Step, ...]
    provider: str = ""
    who: str = ""
    left_out: int = 0

    @property
    def title(self) -> str:
        """What it is called, in the person's language."""
        return text("trace.title", provider=from_server(self.provider, 60) or text("trace.lane.lexoffice"))

    @property
    def drawing(self) -> Drawing:
        """The sequence diagram as plain shapes: see `lexoffice_nb.xray.sequence`."""
        used = {lane for step in self.steps for lane in (step.sender, step.receiver)} | {BROWSER, NOTEBOOK, LEXOFFICE}
        lanes = {lane: self._lane(lane) for lane in LANES if lane in used}
        words = text("trace.words", count=len(self.steps), steps="; ".join(spoken(step) for step in self.steps))
        return layout([message_of(step) for step in self.steps], lanes, title=self.title, words=words)

    def _lane(self, lane: str) -> str:
        if lane == LEXOFFICE and self.provider:
            return from_server(self.provider, 30)
        return text(f"trace.lane.{lane}")

    def _subtitle(self) -> str:
        # The provider may have been described long before, for another sign-in.
        begun = next((step for step in self.steps if step.title == "login_url"), None) or next(iter(self.steps), None)
        when = f"{day(begun.at)}, {_clock(begun.at)}" if begun else ""
        return " · ".join(part for part in (from_server(self.who, 120), when) if part)

    def _notes(self) -> list[str]:
        left_out = [text("trace.left_out", count=self.left_out)] if self.left_out else []
        concluded = [] if all(step.seen for step in self.steps) else [text("trace.unseen")]
        return [text("trace.redacted"), *concluded, *left_out]

    # --- in a terminal ---

    def __repr__(self) -> str:
        lines = [from_server(self.title, 120), self._subtitle(), ""]
        ways = [f"{self._lane(s.sender)} → {self._lane(s.receiver)}" for s in self.steps]
        ways = [
            way if s.sender != s.receiver else self._lane(s.sender) for way, s in zip(ways, self.steps, strict=True)
        ]
        wide = max(map(len, ways), default=0)
        for number, (step, way) in enumerate(zip(self.steps, ways, strict=True), 1):
            mark = "✗" if _failed(step) else " "
            lines.append(f"{number:>3} {_clock(step.at)} {mark} {way:<{wide}}  {_words(step)}")
            below = [f"{step.method} {_path(step)}" if step.method else "", _answer(step)]
            if said := "  ".join(part for part in below if part):
                lines.append(f"{'':15}{said}")
            lines += [f"{'':17}{_name(name)} {_value(value)}" for name, value in (*step.sent, *step.received)]
        return "\n".join([*lines, "", *self._notes()])

    # --- in a notebook ---

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        return f"<style>{_STYLE}</style>{self._section(is_open=False)}"

    def _section(self, *, is_open: bool) -> str:
        notes = "".join(f"<p class='lxo-xray-note'>{_e(note)}</p>" for note in self._notes())
        items = "".join(_item(number, step, self._lane) for number, step in enumerate(self.steps, 1))
        return (
            f"<section class='lxo-xray mathjax_ignore tex2jax_ignore' lang='{text('language')}' "
            f"aria-label='{_e(self.title)}'>"
            f"<p class='lxo-xray-title'>{_e(self.title)}</p><p class='lxo-xray-sub'>{_e(self._subtitle())}</p>"
            f"{svg(self.drawing)}{notes}"
            f"<details{' open' if is_open else ''}><summary>{_e(text('trace.in_full'))}</summary>"
            f"<ol class='lxo-xray-steps'>{items}</ol></details></section>"
        )

    # --- as files ---

    def to_html(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes one page that needs nothing else: no script, nothing from elsewhere, and a policy that says so.

        Args:
            path: of the file.
            overwrite: whether a file that is there is replaced.

        Returns:
            The path of the file.

        Raises:
            StoreError: if it is there, or cannot be written.
        """
        style = _STYLE + _PAGE
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        page = (
            f"<!doctype html>\n<html lang='{text('language')}'><head><meta charset='utf-8'>"
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            "<meta name='viewport' content='width=device-width, initial-scale=1'>"
            "<meta name='referrer' content='no-referrer'><meta name='color-scheme' content='light dark'>"
            f"<title>{_e(self.title)}</title><style>{style}</style></head>"
            f"<body><main>{self._section(is_open=True)}</main></body></html>\n"
        )
        return _write(path, page, overwrite=overwrite)

    def to_har(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the HTTP requests as HAR 1.2, for the network tools of a browser.

        Args:
            path: of the file, usually `.har`.
            overwrite: whether a file that is there is replaced.

        Returns:
            The path of the file.

        Raises:
            StoreError: if it is there, or cannot be written.
        """
        version = str(importlib.import_module("lexoffice_nb").__version__)
        written = json.dumps(har(self.steps, version), indent=1, ensure_ascii=False)
        return _write(path, written + "\n", overwrite=overwrite)


# --- words ------------------------------------------------------------------------------------------------------------


def _words(step: Step) -> str:
    return text(f"trace.step.{step.title}")


def _failed(step: Step) -> bool:
    return bool(step.error)


def _path(step: Step) -> str:
    return "/" + step.url.partition("://")[2].partition("/")[2]


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")


def _name(name: str) -> str:
    return text("trace.others") if name == OTHERS else name


def _value(value: str | Hidden) -> str:
    return value.words() if isinstance(value, Hidden) else value or "✓"


def _answer(step: Step) -> str:
    """What came back, in a line: status, size, time; or what went wrong."""
    parts: list[str] = []
    said = [value for name, value in step.received if name == "error" and isinstance(value, str)]
    if step.status is not None:
        parts += [str(step.status), *said] if said else [f"{step.status} {phrase(step.status)}".strip()]
    elif step.error:
        parts.append(step.error)
    if step.received_octets is not None and not said:
        parts.append(_size(step.received_octets))
    if step.seconds is not None:
        parts.append(text("trace.milliseconds", count=max(1, round(step.seconds * _KILO))))
    return " · ".join(parts)


def _size(octets: int) -> str:
    if octets < _KILO:
        return text("trace.octets", count=octets)
    thousands = f"{octets / _KILO:.1f}"
    return text("trace.kilo_octets", count=thousands.replace(".", ",") if text("language") == "de" else thousands)


def _why(step: Step) -> str:
    """What went wrong, in words where they need no values, else its code."""
    with suppress(KeyError):
        return text(step.error)
    return step.error


def spoken(step: Step) -> str:
    """Says a step in a line, for who hears the diagram."""
    answer = _answer(step)
    return f"{_words(step)} ({answer})" if answer else _words(step)


def message_of(step: Step) -> Message:
    """Gives the arrow or the note of a step, in the person's language."""
    kind = "seen" if step.seen else "unseen"
    if _failed(step) and (step.status is None):
        kind = "failed"
    if step.sender == ATTACKER:
        kind = "attack"
    if step.sender == step.receiver:
        done = [f"✗ {step.error}"] if step.error else [f"✓ {name}" for name, _ in step.sent if name != OTHERS]
        lines = [""]
        for each in done:
            longer = f"{lines[-1]}  {each}".strip()
            lines = [*lines[:-1], longer] if len(longer) <= _NOTE else [*lines, each]
        return Message(step.sender, step.receiver, _words(step), "\n".join(lines), kind=kind)
    detail = f"{step.method} {_path(step)}" if step.method else ""
    return Message(step.sender, step.receiver, _words(step), detail, _answer(step), kind, refused=_failed(step))


def _item(number: int, step: Step, lane: Any) -> str:
    same = step.sender == step.receiver
    way = lane(step.sender) if same else f"{lane(step.sender)} → {lane(step.receiver)}"
    request = f"<p class='lxo-xray-mono'>{_e(step.method)} {_e(step.url)}</p>" if step.method else ""
    answer = _answer(step)
    back = f"<p class='lxo-xray-mono{_bad(step)}'>← {_e(answer)}{_kind(step)}</p>" if answer and not same else ""
    why = (
        f"<p class='lxo-xray-bad'><span aria-hidden='true'>✗</span> {_e(_why(step))}</p>"
        if step.error and step.status is None
        else ""
    )
    return (
        f"<li><p class='lxo-xray-step'><b>{_e(_words(step))}</b> "
        f"<span class='lxo-xray-quiet'>{_e(way)} · {_clock(step.at)}</span></p>"
        f"<p class='lxo-xray-quiet'>{_e(text(f'trace.about.{step.title}'))}</p>"
        f"{request}{_parameters(step.sent)}{back}{_parameters(step.received)}{why}</li>"
    )


def _bad(step: Step) -> str:
    return " lxo-xray-bad" if step.error else ""


def _kind(step: Step) -> str:
    return f" · {_e(step.content_type)}" if step.content_type else ""


def _parameters(pairs: Sequence[tuple[str, str | Hidden]]) -> str:
    if not pairs:
        return ""
    rows = "".join(f"<dt>{_e(_name(name))}</dt><dd{_hidden(value)}>{_e(_value(value))}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"


def _hidden(value: str | Hidden) -> str:
    return " class='lxo-xray-hidden'" if isinstance(value, Hidden) else ""


def _e(words: str) -> str:
    return escape(words.encode("utf-8", "replace").decode())


# --- files ------------------------------------------------------------------------------------------------------------


def _write(path: str | Path, content: str, *, overwrite: bool) -> Path:
    """Writes a file aside and gives it its name when it is whole; readable for nobody else."""
    try:
        target = Path(path).expanduser()
        if not overwrite and os.path.lexists(target):
            raise FileExistsError
        aside = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content.encode("utf-8", "replace"))
            give_name(aside, target, overwrite=overwrite)
        finally:
            with suppress(OSError):
                aside.unlink()
    except FileExistsError:
        error = StoreError("report_exists", file=from_server(str(path), 120))
    except (OSError, ValueError, RuntimeError) as trouble:  # NUL in a name; nobody's home
        known = isinstance(trouble, OSError) and trouble.errno
        reason = os.strerror(trouble.errno) if known else type(trouble).__name__  # type: ignore[union-attr, arg-type]
        error = StoreError("report_unwritable", file=from_server(str(path), 120), reason=from_server(reason, 80))
    else:
        return target
    raise error


# --- the look ---------------------------------------------------------------------------------------------------------

_STYLE = (
    """
.lxo-xray{box-sizing:border-box;max-width:640px;margin:4px 0;padding:16px 16px 12px;border:1px solid var(--lxo-edge);\
border-radius:6px;background:var(--lxo-surface);color:var(--lxo-text);font:13px/1.5 var(--lxo-sans);\
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
@media print{.lxo-xray{border:0;padding:0}}
.lxo-xray p,.lxo-xray dl,.lxo-xray dd,.lxo-xray ol{margin:0;padding:0}
.lxo-xray .lxo-xray-title{font-size:1.16em;font-weight:600;line-height:1.35}
.lxo-xray .lxo-xray-sub{margin-bottom:12px;color:var(--lxo-soft)}
.lxo-xray .lxo-xray-quiet,.lxo-xray .lxo-xray-note{color:var(--lxo-soft)}
.lxo-xray .lxo-xray-note{margin-top:8px;font-size:.94em}
.lxo-xray details{margin-top:12px;padding-top:10px;border-top:1px solid var(--lxo-line)}
.lxo-xray summary{font-weight:600;cursor:pointer}
.lxo-xray summary:focus-visible{outline:2px solid var(--lxo-brand);outline-offset:2px}
.lxo-xray .lxo-xray-steps{margin-top:10px;padding-left:2.2em}
.lxo-xray .lxo-xray-steps>li{margin:0 0 14px;padding-left:4px;list-style:decimal}
.lxo-xray .lxo-xray-steps>li::marker{color:var(--lxo-soft);font-weight:600}
.lxo-xray .lxo-xray-mono{margin-top:4px;font-family:var(--lxo-code);font-size:.92em}
.lxo-xray dl{display:grid;grid-template-columns:minmax(0,13em) minmax(0,1fr);gap:1px 16px;margin:4px 0 4px 1.2em;\
font-family:var(--lxo-code);font-size:.92em}
.lxo-xray dt,.lxo-xray dd{float:none;width:auto;min-width:0;font-weight:400;text-align:left}
.lxo-xray dt{color:var(--lxo-soft)}
.lxo-xray .lxo-xray-hidden{color:var(--lxo-soft);font-style:italic}
.lxo-xray .lxo-xray-bad{color:var(--lxo-error)}
"""
    + STYLE
)
_PAGE = """
html{color-scheme:light dark}
body{margin:0;background:#fff}
main{max-width:640px;margin:0 auto;padding:24px 16px}
@media (prefers-color-scheme:dark){body{background:#111}}
@media print{body{background:#fff}main{padding:0}.lxo-xray-steps>li{break-inside:avoid}}
"""
