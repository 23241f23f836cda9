"""What people paste when they mean a URL: taken out of its wrapping, and looked at for where it was cut off."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

# Where terminals and forms cut a line that is longer, with and without the end of the line
CUT_LENGTHS = frozenset({1023, 1024, 4095, 4096})
MOST_LAYERS = 50  # around a URL; nobody meant to paste more, and each takes its time

_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)(?:20[01]~|[0-9;]*[mK])")  # paste marks and colours
_MAIL_QUOTE = re.compile(r"(?:^|(?<=[\r\n]))[ \t]*(?:>[ \t]*)+")
_SOFT_BREAK = re.compile(r"=[ \t]*(?:\r\n|\r|\n)")
_AMPERSAND = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)
# Seen as nothing or as a blank, though Unicode files them under letters, marks and symbols
_FILLERS = frozenset(
    "\u034f\u115f\u1160\u180b\u180c\u180d\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
# What a shell makes of a paste mark that it half understood
_MARK_BEFORE = re.compile(r"(?:\^\[)?(?:\[?2)?00?~")
_MARK_AFTER = re.compile(r"(?:\^\[)?\[201~\Z")
_LABEL = re.compile(r"(?:url|uri|link|location|address|adresse|view-source):", re.IGNORECASE)
_MARKDOWN = re.compile(r"!?\[[^\[\]]*\]\(([^\s]+)\)[.,;:!]*")
_ENCODED = re.compile(r"https?%(?:25)*3A(?:%(?:25)*2F|/){2}[^?&=#]*", re.IGNORECASE)
_PAIRS = {"'": "'", '"': '"', "`": "`", "<": ">", "(": ")", "[": "]", "{": "}", "*": "*", "_": "_", "~": "~"}
_NEVER_IN_A_URL = '<>"`“”„‟‚‛‘’‹›«»{},;]'  # as every form encoder writes one
_NEVER_BEFORE = "'()*_~|["
_SENTENCE = ".'()!*:"
DANGLING = re.compile(r"%[0-9A-Fa-f]?\Z")


def clean(pasted: str) -> str:
    """Takes off what terminals, mail programs, chats and web pages add to a pasted URL.

    Only what stands around a URL, or cannot be a part of one, is removed; a value is never put right. So a full stop
    after `code`, the last parameter, stays: a code may end with one.
    """
    text = _visible(_as_one_line(_ESCAPES.sub("", pasted)))
    for _ in range(MOST_LAYERS):
        text, before = _peeled(text), text
        if text == before:
            break
    return text


def _as_one_line(text: str) -> str:
    """Undoes what mail does to lines: marks of a quotation, and quoted-printable (RFC 2045 section 6.7)."""
    text = _MAIL_QUOTE.sub("", text)
    joined = _SOFT_BREAK.sub("", text)
    # In quoted-printable every `=` of the URL is `=3D`, so a single one that is not tells that this is none.
    encoded = 0 < joined.count("=") == joined.count("=3D")
    return joined.replace("=3D", "=") if encoded else text


def _visible(text: str) -> str:
    # No white space, nor anything that cannot be seen, is part of a URL.
    seen = "".join(c for c in text if unicodedata.category(c)[0] not in "CZ" and c not in _FILLERS)
    return _AMPERSAND.sub("&", seen)


def _peeled(text: str) -> str:
    """Takes one layer off, the outermost; gives the same text where there is none."""
    if not text:
        return text
    if mark := _MARK_BEFORE.match(text):
        return text[mark.end() :].removesuffix(mark[0][:-2] + "1~")  # no more of it than was left of the one before
    if link := _MARKDOWN.fullmatch(text):
        return link[1]
    if label := _LABEL.match(text):
        return text[label.end() :]
    if _ENCODED.fullmatch(text):
        return _visible(unquote(text))
    closed = text.rstrip(".,;:!")
    if len(closed) > 1 and closed[-1] == _PAIRS.get(text[0]):
        return closed[1:-1]
    less = _MARK_AFTER.sub("", text).strip(_NEVER_IN_A_URL)
    if less != text:
        return less
    if text[0] in _NEVER_BEFORE:
        return text[1:]
    # Form encoders leave these as they are, so at the end of a code they may be the code's own. No state has one.
    return text if last_parameter(text)[0] == "code" else text.rstrip(_SENTENCE)


def last_parameter(url: str) -> tuple[str, str]:
    """Gives the name and the raw value of the parameter that the URL ends with; empty if it ends otherwise."""
    name, _, value = url.partition("?")[2].rpartition("&")[2].partition("=")
    return ("", "") if "#" in url else (name, value)


def cut_at(pasted: str) -> int:
    """Gives the length at which a terminal or a form has cut the text off, or 0 where that cannot be."""
    for text in (_ESCAPES.sub("", pasted), pasted):
        for length in (len(text.rstrip("\r\n")), len(text)):
            if length in CUT_LENGTHS:
                return length
    return 0
