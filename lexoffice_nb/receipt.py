"""What was signed in to, as whom, what was granted, until when: as one line, as rows and as HTML. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from lexoffice_nb.texts import clock, day, from_server, has_text, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

# Granted names that stand for what was asked under another name: the vendor's server answers with its old pair.
LEGACY_SCOPE = frozenset({"read", "write"})
MOST_SCOPES = 40
# Keys below `scope.` that are words about scopes: a server that grants a scope of that name means another thing.
_NO_SCOPES = frozenset({"other", "refused"})


@dataclass(frozen=True)
class Row:
    """A label and a value; `strong` is what a person must not overlook, `mono` is a name of a machine."""

    label: str
    value: str
    mono: bool = False
    strong: bool = False


@dataclass(frozen=True)
class ScopeLine:
    """A scope in plain words; `mark` is asked, granted or refused."""

    name: str
    text: str
    mark: str


@dataclass(frozen=True)
class Receipt:
    """The receipt of a sign-in. Its texts from outside are harmless already; it holds no secret."""

    signed_in: bool
    provider: str
    provider_name: str
    host: str
    company: str
    person: str
    email: str
    asked: tuple[str, ...]
    granted: tuple[str, ...]
    expires_at: datetime | None
    renewable: bool
    kind: str
    source: str = "shipped"  # of the provider: see `Provider.source`
    profile: str = ""  # empty for the usual one
    place: str = ""  # where the secret lies, in words
    remembered_until: datetime | None = None

    def line(self) -> str:
        """One line of plain text."""
        if not self.signed_in:
            return text("receipt.line.out")
        who = self.company or self.person or self.provider
        return text(
            "receipt.line.in", who=who, provider=labelled(self.provider_title(), self.source), until=self.until()
        )

    def provider_title(self) -> str:
        """The provider's name in the person's language."""
        return provider_title(self.provider_name, self.provider, shipped=self.source == "shipped")

    def until(self) -> str:
        """Until when, and what happens then, in words."""
        if self.kind == "key":
            return text("receipt.until.key")
        if self.expires_at is None:
            return text("receipt.until.unknown")
        return clock(self.expires_at)

    def rows(self) -> list[Row]:
        """The rows, most important first; empty ones are left out."""
        person = " · ".join(part for part in (self.person, self.email) if part and part != self.company)
        renewal = (
            "receipt.renewal.key" if self.kind == "key" else "receipt.renewal." + ("yes" if self.renewable else "no")
        )
        rows = [
            Row(text("receipt.company"), self.company, strong=True),
            Row(text("receipt.person"), person),
            Row(text("receipt.provider"), labelled(self.provider_title(), self.source)),
            Row(text("receipt.host"), self.host, mono=True),
            Row(text("receipt.until"), self.until()),
            Row(text("receipt.renewal"), text(renewal)),
            Row(text("receipt.profile"), self.profile),
            Row(text("receipt.kept"), self.place),
            Row(text("receipt.remembered"), self._remembered()),
        ]
        return [row for row in rows if row.value]

    def _remembered(self) -> str:
        return text("receipt.remembered.until", until=day(self.remembered_until)) if self.remembered_until else ""

    def scope_lines(self) -> list[ScopeLine]:
        """What was asked, and whether it was granted."""
        return scope_lines(self.asked, self.granted)

    def missing(self) -> list[str]:
        """The names of the scopes that were asked and not granted."""
        return [line.name for line in self.scope_lines() if line.mark == "refused"]

    def html(self) -> str:
        """A small card for a notebook, in the look of the sign-in card. Everything is escaped."""
        if not self.signed_in:
            return f"<p>{escape(self.line())}</p>"
        cells = "".join(
            f"<dt style='{_TERM}'>{escape(row.label)}</dt><dd style='{_VALUE}{_kind(row)}'>{escape(row.value)}</dd>"
            for row in self.rows()
        )
        scopes = "".join(
            f"<li style='margin:2px 0'>{_MARKS[line.mark]} {escape(line.text)} "
            f"<code style='color:{_QUIET}'>{escape(line.name)}</code></li>"
            for line in self.scope_lines()
        )
        listed = f"<ul style='list-style:none;margin:10px 0 0;padding:0'>{scopes}</ul>" if scopes else ""
        return (
            f"<section class='mathjax_ignore tex2jax_ignore' lang='{text('language')}' "
            f"aria-label='{escape(text('receipt.title'))}' style='{_CARD}'>"
            "<p style='margin:0 0 10px;font-weight:600'><span aria-hidden='true'>✓</span> "
            f"{escape(text('status.signed_in'))}</p>"
            f"<dl style='{_LIST}'>{cells}</dl>{listed}</section>"
        )


_QUIET = "var(--jp-ui-font-color2,#616161)"
_CARD = (
    "max-width:640px;box-sizing:border-box;padding:16px 20px;border:1px solid var(--jp-border-color2,#bdbdbd);"
    "border-radius:6px;background:var(--jp-layout-color1,transparent);color:var(--jp-ui-font-color1,inherit);"
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);line-height:1.5"
)
_LIST = "display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:0"
# JupyterLab floats what is in a list of terms and gives it a share of the width: here the grid does that.
_TERM = f"float:none;width:auto;white-space:nowrap;color:{_QUIET};font-weight:400;margin:0;text-align:left"
_VALUE = "float:none;width:auto;margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums;"
_MARKS = {
    "granted": "<span aria-hidden='true'>✓</span>",
    "refused": "<span aria-hidden='true'>✗</span>",
    "asked": "<span aria-hidden='true'>•</span>",
}


def _kind(row: Row) -> str:
    return ("font-weight:600;" if row.strong else "") + (
        "font-family:var(--jp-code-font-family,monospace);" if row.mono else ""
    )


def scope_lines(asked: Sequence[str], granted: Sequence[str] | None = None) -> list[ScopeLine]:
    """Puts scopes into plain words; without `granted` they are only asked for."""
    lines = []
    # What was granted unasked is shown as well: a receipt leaves nothing out.
    unasked = [name for name in granted or () if name not in LEGACY_SCOPE]
    for name in list(dict.fromkeys([*asked, *unasked]))[:MOST_SCOPES]:
        mark = "asked" if granted is None else "granted" if _covers(granted, name) else "refused"
        known = name not in _NO_SCOPES and has_text(f"scope.{name}")
        words = text(f"scope.{name}" if known else "scope.other")
        if mark == "refused":
            words = text("scope.refused", what=words)
        lines.append(ScopeLine(from_server(name, 60), words, mark))
    return lines


def _covers(granted: Sequence[str], name: str) -> bool:
    if name in granted:
        return True
    legacy = bool(granted) and set(granted) <= LEGACY_SCOPE
    return legacy and ("write" in granted or not name.endswith(".write"))


def labelled(title: str, source: str) -> str:
    """Says who chose a provider that did not come with the package."""
    return title if source == "shipped" or not title else text(f"card.provider.{source}", provider=title)


def provider_title(name: str, title: str, *, shipped: bool = True) -> str:
    """The provider's name in the person's language, where the package knows one.

    One that is not `shipped` is called what it calls itself: its name is a host, which anybody can choose.
    """
    return text(f"provider.{name}") if shipped and has_text(f"provider.{name}") else title
