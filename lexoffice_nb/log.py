"""What the package tells at DEBUG, and a filter that keeps secrets out of it and out of other libraries' lines.

`log` is silent until a person switches logging on. Values are never handed to it; the filter is the second lock, for
what a server says and for libraries that write down whole URLs, forms and tokens.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from typing import Any, cast

HIDDEN = "••••"
# What other libraries log while a sign-in runs; the loggers below these names are theirs as well.
OTHERS = (
    *("aiohttp", "authlib", "http.client", "httpcore", "httpx", "oauthlib", "py.warnings"),
    *("requests", "requests_oauthlib", "urllib3", "werkzeug"),
)
_UNREADABLE = "(a message that could not be searched for secrets)"
_DEEPEST = 8

# Of headers, the whole line is the value.
_LINE = "authorization|cookie"
# As the end of a name: `access_token`, `accessToken`, `csrf_token`, `X-Api-Key`.
_ENDING = (
    "token|token_hint|secret|verifier|assertion|password|passwd|passphrase|nonce|api[ _-]?key|"
    "(?:auth|authorization|device|user)_?code"
)
# Too common as the end of other names (`status_code`), so only as a whole one. It may follow an encoded `&` or `?`, or
# a line's end that `repr` wrote as two characters.
_WHOLE = r"(?:(?<![A-Za-z0-9_-])|(?<=26)|(?<=3F)|(?<=\\[nrt]))(?:code|state|dpop)"
_ENCODED = "%(?:25)*"  # `%` once or more often encoded
_NAMED = re.compile(
    rf"""(?P<pair>[\[(]\s*b?\\*["'][\w .-]{{0,60}}?)?(?:(?P<line>{_LINE})|{_ENDING}|{_WHOLE})"""
    # `('code', 'abc')`, else `code=abc`, `"code": "abc"`, `code%3Dabc`, or an input field of a page
    rf"""(?(pair)\\*["']\s*,\s*|"""
    rf"""(?:(?:\\*["']|{_ENCODED}22)?(?:\[\w{{0,20}}\])?\]?\s*(?:=>?|:|\\+u003d|&\#(?:0*61|x0*3d);|{_ENCODED}3[AD])\s*|["']\s+value\s*=\s*))""",
    re.IGNORECASE,
)
_NAME_ALONE = re.compile(rf".*(?:{_LINE}|{_ENDING})|code|state|dpop", re.IGNORECASE | re.DOTALL)
_QUOTE = re.compile(r"""[bru]{0,2}(?P<quote>\\*["'])""", re.IGNORECASE)
_BARE = re.compile(r"""(?:(?!\\[rn])[^\s&"'<>])*""")
_COMMA = re.compile(r"\s*,\s*")
_REST_OF_LINE = re.compile(r"(?:(?!\\[rn])[^\r\n])*")
_SCHEME = re.compile(r"\b(Bearer|Basic|DPoP)((?:\s|%20|\+)+)[^\s\"'\\,;<>&]+", re.IGNORECASE)
_DOTTED = re.compile(r"[A-Za-z0-9_.-]{16,}")
# A JSON object in base64url begins like this; any three words with dots between would be half of all module names.
_JSON_OBJECT = re.compile(r"e[wy]")
_SHORTEST_HEADER = 12
_USERINFO = re.compile(r"://[^/\s@\"'<>]*@")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redacted(text: str) -> str:
    """Gives a text with dots in place of what looks like a secret.

    Found are the values of OAuth's parameters and of the headers that carry credentials, in queries, forms, JSON,
    `repr`s and header dumps, also percent-encoded; bearers; JSON Web Tokens; and a URL's user and password. In doubt
    more is hidden.
    """
    kept, at = [], 0
    while match := _NAMED.search(text, at):
        kept.append(text[at : match.end()])
        value, at = _without_value(text, match.end(), match["line"] is not None, match["pair"] is not None)
        kept.append(value)
    text = "".join(kept) + text[at:]
    text = _SCHEME.sub(rf"\1\2{HIDDEN}", text)
    return _USERINFO.sub(f"://{HIDDEN}@", _DOTTED.sub(_without_jwt, text))


def _without_jwt(match: re.Match[str]) -> str:
    """Hides a JSON Web Token (RFC 7519) in a run of its characters; each is looked at once, however long the run."""
    run, begin = match[0], 0
    for header in run.split(".")[:-2]:
        found = _JSON_OBJECT.search(header)
        if found and len(header) - found.start() >= _SHORTEST_HEADER:
            return run[: begin + found.start()] + HIDDEN
        begin += len(header) + 1
    return run


def _without_value(text: str, at: int, whole_line: bool, in_pair: bool) -> tuple[str, int]:
    """Gives what stands for the value that begins at `at`, and where the text goes on."""
    if quote := _QUOTE.match(text, at):
        end = _after_quoted(text, quote.end(), quote["quote"])
        if in_pair and text[end:].lstrip().startswith(":"):
            return "", at  # two names in a row; the value is the second one's
        return f"{quote[0]}{HIDDEN}{quote['quote']}", end
    if text[at : at + 1] in ("[", "("):
        return _without_items(text, at)
    if text[at : at + 1] == "{":
        return "", at  # a mapping has names of its own
    if whole_line:
        end = _end(_REST_OF_LINE, text, at)
        return (HIDDEN if end > at else ""), end
    following = _NAMED.search(text, at)  # `code=1,token='abc'`
    end = _end(_BARE, text, at, following.start() if following else len(text))
    end = at + len(text[at:end].rstrip(",;)]}"))
    return (HIDDEN if end > at else ""), end


def _without_items(text: str, at: int) -> tuple[str, int]:
    """The same for a list of values; only its brackets, quotes and commas stay."""
    kept = text[at]
    at += 1
    while quote := _QUOTE.match(text, at):
        at = _after_quoted(text, quote.end(), quote["quote"])
        kept += f"{quote[0]}{HIDDEN}{quote['quote']}"
        comma = _end(_COMMA, text, at)
        kept += text[at:comma]
        at = comma
    end = _end(_BARE, text, at)
    stop = at + len(text[at:end].rstrip(",;)]}"))
    return (kept + HIDDEN if stop > at else kept), stop


def _after_quoted(text: str, at: int, quote: str) -> int:
    """The end of a quoted text, quote included: the next quote of its own kind that no further backslash escapes."""
    end = text.find(quote, at)
    while end > at and text[end - 1] == "\\":
        end = text.find(quote, end + 1)
    return len(text) if end < 0 else end + len(quote)


def _end(pattern: re.Pattern[str], text: str, at: int, limit: int | None = None) -> int:
    match = pattern.match(text, at, len(text) if limit is None else limit)
    return match.end() if match else at


class Redacting(logging.Filter):
    """Writes dots where a record has a secret: in its message, arguments, traceback and further attributes.

    The record itself is changed, so that every handler sees it this way. None is dropped, and nothing is raised.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass, changed where it must be."""
        try:
            _redact(record)
        except Exception:  # noqa: BLE001 - a log line must not end what it tells about
            record.msg, record.args = _UNREADABLE, None
            record.exc_info = record.exc_text = record.stack_info = None
            for name in set(vars(record)) - _USUAL:
                delattr(record, name)
        return True


def _redact(record: logging.LogRecord) -> None:
    record.msg = _shown(record.msg)
    record.args = cast("Any", _shown(record.args))
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - a placeholder too many, or a repr that fails
        message = f"{record.msg!s} (without its values)" if isinstance(record.msg, str) else _UNREADABLE
    record.msg, record.args = redacted(message), None
    if record.exc_info and not record.exc_text and isinstance(record.exc_info, tuple):
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    if record.exc_text:
        record.exc_text = redacted(record.exc_text)
    record.exc_info = None  # a handler that formats it anew would show all
    if record.stack_info:
        record.stack_info = redacted(record.stack_info)
    for name in set(vars(record)) - _USUAL:  # what came as `extra`
        value = HIDDEN if _NAME_ALONE.fullmatch(name) else _shown(getattr(record, name))
        harmless = redacted(str(value))
        setattr(record, name, value if harmless == str(value) else harmless)


def _shown(value: Any, depth: int = 0) -> Any:
    """Gives a copy of what is made of mappings and lists, with dots as the values of secret names."""
    if depth > _DEEPEST:
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if _NAME_ALONE.fullmatch(_name(key)) else _shown(item, depth + 1) for key, item in value.items()
        }
    if type(value) in (list, tuple):
        return type(value)(_shown(item, depth + 1) for item in value)
    return value


def _name(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


_FILTER = Redacting()
_LOCK = threading.RLock()
log = logging.getLogger("lexoffice_nb")
log.addHandler(logging.NullHandler())
log.addFilter(_FILTER)

_active = False
_maker_before: Any = None


def redact_others() -> None:
    """Puts the filter on the loggers of `OTHERS`, those below them, and those that come later; cheap when it is there.

    A logger's filter does not see the records of the loggers below it, so each gets its own. New ones are met where
    `logging` makes them.
    """
    global _active, _maker_before
    manager: Any = logging.Logger.manager
    if _active and manager.loggerClass is _make_logger:
        return
    with _LOCK:
        # What is no class may be somebody's maker that calls ours: it stays, and its loggers are met at the next call.
        if manager.loggerClass is None or isinstance(manager.loggerClass, type):
            _maker_before, manager.loggerClass = manager.loggerClass, _make_logger
        _active = True
        for logger in _others():
            logger.addFilter(_FILTER)


def stop_redacting() -> None:
    """Takes the filter away from other libraries' loggers, and new ones are as ever. Ours keeps it."""
    global _active, _maker_before
    manager: Any = logging.Logger.manager
    with _LOCK:
        _active = False
        if manager.loggerClass is _make_logger:
            manager.loggerClass, _maker_before = _maker_before, None
        for logger in _others():
            logger.removeFilter(_FILTER)


def _make_logger(name: str) -> logging.Logger:
    """Stands where `logging` has the class of new loggers; it makes what would have been made, and adds the filter."""
    logger: logging.Logger = (_maker_before or logging.getLoggerClass())(name)
    if _active and _is_other(name):
        logger.addFilter(_FILTER)
    return logger


def _is_other(name: str) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in OTHERS)


def _others() -> list[logging.Logger]:
    known = list(logging.Logger.manager.loggerDict.items())
    return [logger for name, logger in known if isinstance(logger, logging.Logger) and _is_other(name)]
