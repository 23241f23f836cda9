"""Providers as data: the ones that come with the package, and the person's own in the configuration folder.

A user's own file cannot redefine a shipped name: a token, a secret or a habit that belongs to `lexware` must not follow
a line that somebody added to a file (`docs/add_a_provider.md` has the keys).
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import re
import stat
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lexoffice_nb.errors import DiscoveryError, shielded
from lexoffice_nb.oauth.metadata import ENDPOINTS
from lexoffice_nb.oauth.transport import is_allowed, is_loopback
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Source = Literal["shipped", "user", "notebook"]
FILE_LIMIT = 256 * 1024
LONGEST_INTERVAL = 60  # seconds
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_PLACE = re.compile(r"(line \d+, column \d+|end of document)\)$")
_PLACES = frozenset({*ENDPOINTS, "api_base", "key_page"})
# What people call a secret, in small letters and without - and _. What one does with it depends on which it is.
_CLIENT_SECRETS = frozenset(
    {"apisecret", "appsecret", "clientpassword", "clientsecret", "consumersecret", "passphrase", "password", "secret"}
)
_KEYS_AND_TOKENS = frozenset(
    {
        "accesstoken",
        "apikey",
        "apitoken",
        "bearer",
        "idtoken",
        "key",
        "privatekey",
        "refreshtoken",
        "secretkey",
        "token",
    }
)
# What tomllib says of the commonest mistakes; its other words are for programmers.
_NO_QUOTES = (
    "Invalid value",
    "Unterminated string",
    'Expected "',
    "Illegal character '\\n'",
    "Illegal character '\\r'",
)
_NO_SIGN = ("Expected '='", "Expected ']", "Unclosed array", "Unclosed inline table", "Invalid statement")


@dataclass(frozen=True)
class Preset:
    """One entry: its values, checked, and whose it is."""

    name: str
    values: Mapping[str, Any]
    source: Source


def shipped() -> tuple[str, ...]:
    """Gives the names of the providers that come with the package."""
    return tuple(_shipped())


def names() -> tuple[str, ...]:
    """Gives the names of all providers, the person's own last; a file that cannot be read adds none."""
    own: dict[str, Any] = {}
    with contextlib.suppress(DiscoveryError):
        own = _own()
    tables = (name for name, entry in own.items() if _NAME.fullmatch(name) and _is_entry(entry))
    return (*_shipped(), *(name for name in tables if name not in _shipped()))


@shielded  # what was refused may hold a secret, which no frame is to show
def preset(name: str) -> Preset:
    """Gives an entry by its name.

    Raises:
        DiscoveryError: `unknown_provider`; or, if it is the person's own, what is wrong with the file or the entry.
    """
    ships, everything = _shipped().get(name), dict[str, Any]()
    try:
        everything = _own()
    except DiscoveryError:
        if ships is None:
            raise
    own = everything.get(name)
    if own is not None and ships is not None:
        raise DiscoveryError("user_provider_shipped", name=name, path=user_file())
    if ships is not None:
        return Preset(name, ships, "shipped")
    if own is None:
        raise _unknown(name, everything)
    return Preset(name, _checked(name, own), "user")


def _unknown(name: str, own: Mapping[str, Any]) -> DiscoveryError:
    """Says why there is no entry of a name: it is in none of the files, or the person's own has it in another way."""
    path, shown = user_file(), from_server(name, 60)
    for dotted in _dotted(own):
        if name in (dotted, dotted.replace(".", "-"), dotted.replace(".", "_")):
            return _no_dots(dotted)
    if stray := [key for key in own if key in _CHECKS and not isinstance(own[key], dict)]:
        return DiscoveryError("user_providers_no_table", path=path, key=stray[0], name=shown)
    known = ", ".join(names())
    if near := difflib.get_close_matches(name, names(), 1):
        return DiscoveryError("unknown_provider_near", name=shown, near=near[0], known=known, path=path)
    return DiscoveryError("unknown_provider", name=shown, known=known, path=path)


def _is_entry(entry: object) -> bool:
    """Whether it is a table with values of its own: of `[my.company]`, TOML makes a table `my` that has none."""
    return isinstance(entry, dict) and (not entry or not all(isinstance(value, dict) for value in entry.values()))


def _dotted(own: Mapping[str, Any]) -> list[str]:
    """Gives the names with a dot, of which TOML makes a table in a table."""
    return [
        f"{outer}.{inner}"
        for outer, entry in own.items()
        if isinstance(entry, dict)
        for inner, value in entry.items()
        if isinstance(value, dict) and inner not in _CHECKS
    ]


def _no_dots(name: str) -> DiscoveryError:
    shown = from_server(name, 60)
    return DiscoveryError("user_provider_dotted", name=shown, path=user_file(), better=shown.replace(".", "-"))


def source_of(issuer: str) -> Source:
    """Tells whose choice an issuer is: an address that a notebook names may be one of the person's own file."""
    own: dict[str, Any] = {}
    with contextlib.suppress(DiscoveryError):
        own = _own()
    for name in own.keys() - _shipped().keys():
        with contextlib.suppress(DiscoveryError):  # an entry that is refused vouches for nobody
            if _checked(name, own[name]).get("issuer") == issuer:
                return "user"
    return "notebook"


def unverified_issuers() -> frozenset[str]:
    """Gives the issuers of which nobody knows whether they are in service."""
    return frozenset(entry["issuer"] for entry in _shipped().values() if entry.get("unverified"))


def user_file() -> Path:
    """Gives the path of the person's own file, there or not."""
    from platformdirs import user_config_path

    return Path(user_config_path("lexoffice_nb"), "providers.toml")


@functools.cache
def _shipped() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("lexoffice_nb.oauth").joinpath("providers.toml").read_text("utf-8"))


def _own() -> dict[str, Any]:
    """Reads the person's file each time: it is small, and somebody is just editing it."""
    path, content = user_file(), ""
    code = "user_providers_unreadable"
    try:
        content = _content(path).decode("utf-8-sig")
        return tomllib.loads(content)
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))  # the rest can name what stands there
        reason = place[1] if place else "TOML"
        if place and str(error).startswith(_NO_QUOTES):
            code = "user_providers_quotes"
        elif place and str(error).startswith(_NO_SIGN):
            code = "user_providers_sign"
    except UnicodeDecodeError:
        reason = "UTF-8"
    except (ValueError, RecursionError):  # a number without end, tables in tables without end
        reason = "TOML"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    number = re.match(r"line (\d+)", reason)
    line = number[1] if number else content.rstrip().count("\n") + 1
    raise DiscoveryError(code, path=path, reason=reason, line=line)


def _content(path: Path) -> bytes:
    # Opened first and looked at then, so that nothing can be put in its place between the two; without waiting, since
    # it could be a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        if _others_write(path.parent.stat()):
            raise DiscoveryError("user_providers_writable", path=path.parent)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DiscoveryError("user_providers_unreadable", path=path, reason="–")
        if _others_write(status):
            raise DiscoveryError("user_providers_writable", path=path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(FILE_LIMIT + 1)
    finally:
        os.close(descriptor)
    if len(content) > FILE_LIMIT:
        raise DiscoveryError("user_providers_unreadable", path=path, reason=f"> {FILE_LIMIT // 1024} KiB")
    return content


def _others_write(status: os.stat_result) -> bool:
    """Whether somebody else can write the file, and so choose where this person signs in."""
    if os.name != "posix":
        return False
    if status.st_uid not in (0, os.getuid()) or status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(group_id: int) -> bool:
    """Whether a group is this person's alone, as many systems make one for each: of the same name, without members.

    The name counts, since a group that is the first one of several people (`users`, `staff`) has no members either.
    """
    import grp
    import pwd

    try:
        person, group = pwd.getpwuid(os.getuid()), grp.getgrgid(group_id)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {person.pw_name}
    return (group_id, group.gr_name) == (person.pw_gid, person.pw_name) and alone


# --- what an entry may say ---


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= 500


def _is_url(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 2000 and is_allowed(value)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) and " " not in item for item in value)


def _is_interval(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= LONGEST_INTERVAL  # type: ignore[operator]


def _one_of(key: str) -> Callable[[object], bool]:
    return lambda value: value in _CHOICES[key]


_CHOICES = {
    "client_authentication": ("none", "client_secret_basic", "client_secret_post"),
    "client_secret_encoding": ("form", "raw"),
}
_CHECKS: dict[str, Callable[[object], bool]] = {
    "title": _is_text,
    "based_on": _is_text,
    "issuer": _is_url,
    "metadata_url": _is_url,
    "authorization_endpoint": _is_url,
    "token_endpoint": _is_url,
    "revocation_endpoint": _is_url,
    "userinfo_endpoint": _is_url,
    "end_session_endpoint": _is_url,
    "jwks_uri": _is_url,
    "api_base": _is_url,
    "key_page": _is_url,
    "client_id": _is_text,
    "client_authentication": _one_of("client_authentication"),
    "client_secret_encoding": _one_of("client_secret_encoding"),
    "openid": lambda value: isinstance(value, bool),
    "scopes": _are_texts,
    "redirect_uri": _is_url,
    "request_interval": _is_interval,
    "resource": lambda value: _are_texts(value) and all(is_allowed(item) for item in value),  # type: ignore[attr-defined]
}


def _checked(name: str, entry: object) -> dict[str, Any]:
    """Gives the values of a person's own entry, those of the shipped one it is based on included."""
    if not _NAME.fullmatch(name) or not isinstance(entry, dict):
        raise DiscoveryError("user_provider_name", name=from_server(name, 60), path=user_file())
    for key, value in entry.items():
        shown = from_server(key, 40)
        plain = re.sub("[-_]", "", key.lower())
        if plain in _CLIENT_SECRETS | _KEYS_AND_TOKENS:
            code = "user_provider_secret" if plain in _CLIENT_SECRETS else "user_provider_api_key"
            raise DiscoveryError(code, name=name, key=shown, path=user_file())
        if key not in _CHECKS and isinstance(value, dict):
            raise _no_dots(f"{name}.{key}")
        if key not in _CHECKS:
            raise DiscoveryError("user_provider_key", name=name, key=shown, known=", ".join(_CHECKS), path=user_file())
        if not _CHECKS[key](value):
            raise _bad_value(name, key)
    values = {**_base(name, entry), "title": name, **entry}
    values.pop("based_on", None)
    both = "authorization_endpoint" in values and "token_endpoint" in values
    if "issuer" not in values and not (both and "api_base" in values):
        raise DiscoveryError("user_provider_incomplete", name=name, path=user_file())
    if key := _misleading(values):
        raise DiscoveryError("user_provider_nearer", name=name, key=key, path=user_file())
    if values.get("openid") and "issuer" not in values:  # whom would an ID token have to be from?
        raise DiscoveryError("user_provider_openid", name=name, path=user_file())
    return values


def _bad_value(name: str, key: str) -> DiscoveryError:
    """Says what a key takes instead of what it has."""
    kinds: dict[Callable[[object], bool], str] = {_is_text: "text", _is_url: "value", _are_texts: "list"}
    own = {"openid": "switch", "resource": "addresses", "based_on": "choice", "request_interval": "seconds"}
    code = own.get(key) or kinds.get(_CHECKS[key], "choice")
    choices = _CHOICES.get(key) or [base for base in _shipped() if _is_base(base)]
    listed = ", ".join(choices)
    return DiscoveryError(f"user_provider_{code}", name=name, key=key, path=user_file(), choices=listed)


def _misleading(values: Mapping[str, Any]) -> str:
    """Gives the first key whose value does not go together with who the provider is, or an empty text."""
    root = values.get("issuer") or values["authorization_endpoint"]
    for key in ENDPOINTS:
        if key in values and not is_allowed(values[key], named_by=root):
            return key
    # The API and a page may be in a network of one's own while the provider is not; never over plain http.
    for key in ("metadata_url", "api_base", "key_page"):
        if values.get(key, "").startswith("http:") and not is_loopback(root):
            return key
    return ""


def _base(name: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shipped entry that one is based on. Those that stand for one certain place are no base."""
    base = entry.get("based_on")
    if base is None:
        return {}
    if not _is_base(base):
        raise _bad_value(name, "based_on")
    values = _shipped()[base]
    # With any address of its own it is another place: none of the base's is to get its tokens and secrets.
    elsewhere = not entry.keys().isdisjoint(("issuer", *ENDPOINTS))
    return {key: value for key, value in values.items() if not (elsewhere and key in _PLACES)}


def _is_base(name: str) -> bool:
    values = _shipped().get(name, {"unverified": True})
    return "address_file" not in values and "unverified" not in values
