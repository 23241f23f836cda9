"""The page that the tab shows after the sign-in: escaped, self-contained, without the code in its address."""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass
from http import HTTPStatus
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Page:
    """What the browser tab shows.

    Attributes:
        title: The heading and the tab's title, plain text.
        text: The message, plain text; line breaks are kept.
        ok: Whether the page shows the sign of success or of a problem.
        status: The HTTP status.
        lang: The language of the texts (BCP 47), for screen readers.
    """

    title: str
    text: str
    ok: bool = True
    status: int = 200
    lang: str = "en"


NOT_FOUND = Page(
    "Nothing to see here",
    "This address only receives the answer of a sign-in that was started in a notebook or a terminal.\n"
    "You can close this tab.",
    ok=False,
    status=404,
)
OVER = Page("This sign-in is over", "You can close this tab.", status=410)
FAILED = Page(
    "This did not work",
    "The answer arrived, but it could not be handled. Go back to where you started the sign-in and start it again.",
    ok=False,
    status=500,
)

_SCRIPT = 'history.replaceState(null, "", location.pathname)'  # the code leaves the address bar and the history entry

# The colours are those of the sign-in card (JupyterLab's own): words have the text colour, only the icon is coloured.
_STYLE = """
:root { color-scheme: light dark; --back: #f5f5f5; --card: #fff; --edge: #bdbdbd; --line: #e0e0e0;
  --text: rgba(0, 0, 0, 0.87); --soft: rgba(0, 0, 0, 0.65); --ok: #388e3c; --problem: #d32f2f; }
@media (prefers-color-scheme: dark) {
  :root { --back: #111; --card: #212121; --edge: #616161; --line: #424242;
    --text: rgba(255, 255, 255, 0.87); --soft: rgba(255, 255, 255, 0.67); --ok: #4caf50; --problem: #f44336; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px 16px 12vh;
  background: var(--back); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", helvetica, arial, sans-serif; }
main { width: 100%; max-width: 460px; overflow: hidden; background: var(--card); border: 1px solid var(--edge);
  border-radius: 6px; overflow-wrap: anywhere; }
.mark { display: flex; align-items: center; gap: 10px; margin: 0; padding: 12px 24px; font-weight: 600;
  border-bottom: 1px solid var(--line); }
.mark svg { flex: none; width: 24px; height: 24px; margin-left: -3px; fill: none; stroke-width: 2;
  stroke-linecap: round; stroke-linejoin: round; }
.ok svg { stroke: var(--ok); }
.problem svg { stroke: var(--problem); }
h1 { margin: 0; padding: 24px 24px 0; font-size: 22px; line-height: 1.3; font-weight: 600; text-wrap: balance; }
.text { margin: 0; padding: 8px 24px 28px; color: var(--soft); white-space: pre-line; }
"""

_ICONS = {
    True: '<circle cx="12" cy="12" r="9"/><path d="m8 12.4 2.7 2.7L16 9.6"/>',
    False: '<path d="M12 3.5 21.5 20h-19Z"/><path d="M12 10v4.5M12 17.3v.1"/>',
}
_WORDS = {"en": {True: "Done", False: "Problem"}, "de": {True: "Fertig", False: "Problem"}}  # never an icon alone

_HTML = Template("""<!doctype html>
<html lang="$lang">
<head>
<meta charset="utf-8">
<script>$script</script>
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<div role="status">
<p class="mark $kind"><svg viewBox="0 0 24 24" aria-hidden="true">$icon</svg>$word</p>
<h1>$title</h1>
<p class="text">$text</p>
</div>
</main>
</body>
</html>
""")


def _source_hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


# No CORS header, no cookie, no redirect, no Server header: the page is for the one tab that asked for it.
_HEADERS = (
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-store",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "Content-Security-Policy: default-src 'none'; "
    f"style-src {_source_hash(_STYLE)}; script-src {_source_hash(_SCRIPT)}; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Connection: close",
)


def _render(page: Page) -> bytes:
    words = _WORDS.get(page.lang.partition("-")[0].lower(), _WORDS["en"])
    return _HTML.substitute(
        lang=html.escape(page.lang),
        title=html.escape(page.title),
        text=html.escape(page.text),
        kind="ok" if page.ok else "problem",
        icon=_ICONS[page.ok],
        word=words[page.ok],
        script=_SCRIPT,
        style=_STYLE,
    ).encode("utf-8", "replace")


def response(page: Page, *, with_body: bool = True, headers: Iterable[str] = ()) -> bytes:
    """Gives a page as a whole HTTP response; a HEAD request gets it without the body."""
    body = _render(page)
    head = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        *_HEADERS,
        *headers,
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + (body if with_body else b"")
