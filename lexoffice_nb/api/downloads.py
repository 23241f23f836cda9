"""Files of the vendor's, written where a person wants them: nothing is overwritten, and nothing half is left.

The name that the server gives is a proposal: what is harmless of it is kept, its suffix is ours, and says what the
content is. The content is looked at, since an error page that is called invoice.pdf is none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import requests
import urllib3

from lexoffice_nb.api.refusals import path_of, trouble
from lexoffice_nb.errors import Invalid, LexofficeError, ServerTrouble, StoreError
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

LIMIT_MEGABYTES = 100
# What the vendor gives and takes (its uploads are of these four kinds).
SUFFIXES = ("pdf", "xml", "png", "jpg")
_SAME_SUFFIX = {"jpeg": "jpg"}
_CHUNK = 64 * 1024
_HEAD = 4096
_MAGIC = {"pdf": b"%PDF-", "png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff"}
_MARKS_OF_ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_ELEMENT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)[\s/>]")
_SHOWN_BY_BROWSERS = frozenset({"html", "svg"})

# Octets of a name without its suffix: the shortest limit in use is 143 (encrypted folders), and a number may follow.
_LONGEST_NAME = 100
_MOST_OF_ONE_NAME = 10_000
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))})
_PARAMETER = re.compile(r';\s*(filename[*]?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.IGNORECASE)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def save(response: requests.Response, to: Path | str, suffix: str = "", name: str | None = None) -> Path:
    """Writes a file that came to a folder, or to a path.

    Args:
        response: the answer, asked for with `stream=True`. It is closed in any case.
        to: a folder that exists, for the server's name or the next free one like it (`RE1001 (2).pdf`); or the path
            of a new file.
        suffix: what was asked for: `pdf`, `xml`, `png`, `jpg`; empty for whichever of them comes.
        name: what the file is called in a folder where the server gives no name, such as an id.

    Returns:
        The path of the file.

    Raises:
        Invalid: if there is no such folder, or the file exists already, or its name does not fit its content.
        StoreError: if it cannot be written.
        ServerTrouble: if it does not come whole, or is more than 100 MB, or something else.
    """
    with response:
        target = _Target.of(to, suffix)
        head, rest = _begun(response)
        kind = _kind(response, head, suffix)
        target.require(kind)
        proposed = _stem(_proposed(response.headers.get("Content-Disposition") or "")) or _stem(name or "")
        problem: LexofficeError
        try:
            return _written(head, rest, target, proposed or "lexoffice", kind)
        except FileExistsError:
            problem = Invalid("download_exists", file=_told(target.path))
        except OSError as error:
            problem = _unwritten(error, target.folder)
        raise problem


def check(to: Path | str, suffix: str = "") -> None:
    """Checks what can be checked before the file is asked for.

    Args:
        to: as for `save`.
        suffix: as for `save`.

    Raises:
        Invalid: if there is no such folder, or the file exists already, or its name does not fit what is asked for.
    """
    _Target.of(to, suffix)


def content(response: requests.Response, suffix: str = "") -> bytes:
    """Gives a file that came, looked at as in `save`.

    Args:
        response: the answer, asked for with `stream=True`. It is closed in any case.
        suffix: as for `save`.

    Raises:
        ServerTrouble: as for `save`.
    """
    with response:
        head, rest = _begun(response)
        _kind(response, head, suffix)
        return b"".join((head, *rest))


class _Target:
    """Where a file goes: a folder, or one path in it."""

    def __init__(self, folder: Path, path: Path | None) -> None:
        self.folder = folder
        self.path = path

    @classmethod
    def of(cls, to: Path | str, suffix: str) -> _Target:
        try:
            path = Path(to).expanduser()
            is_folder = path.is_dir() or (isinstance(to, str) and to.endswith(("/", os.sep)))
        except (OSError, RuntimeError, ValueError):  # nobody's home; a name that is too long; NUL
            path, is_folder = Path("\0"), False
        if "\0" in str(path):
            raise Invalid("download_no_path", file=_told(Path(to)))
        folder = path if is_folder else path.parent
        if not folder.is_dir():
            raise Invalid("download_no_folder", folder=_told(folder))
        if suffix and not is_folder and not path.suffix and not path.exists():
            raise Invalid("download_no_folder", folder=_told(path))  # a folder was meant, which is not there
        target = cls(folder, None if is_folder else path)
        if suffix:
            target.require(_plain(suffix))
        if target.path is not None and os.path.lexists(target.path):
            raise Invalid("download_exists", file=_told(target.path))
        return target

    def require(self, kind: str) -> None:
        """Refuses a path that says something else than its content will be."""
        if self.path is not None and _plain(self.path.suffix) != kind:
            raise Invalid("download_suffix", file=_told(self.path), suffix=kind)

    def names(self, stem: str, kind: str) -> Iterator[Path]:
        if self.path is not None:
            yield self.path
            return
        yield self.folder / f"{stem}.{kind}"
        for number in range(2, _MOST_OF_ONE_NAME):
            yield self.folder / f"{stem} ({number}).{kind}"


def _plain(suffix: str) -> str:
    suffix = suffix.removeprefix(".").lower()
    return _SAME_SUFFIX.get(suffix, suffix)


def _told(path: Path | None) -> str:
    return from_server(str(path))


# --- what comes ---


def _begun(response: requests.Response) -> tuple[bytes, Iterator[bytes]]:
    """Reads enough to tell what it is; gives that, and the rest to come."""
    chunks = _chunks(response)
    head = b""
    while len(head) < _HEAD and (chunk := next(chunks, b"")):
        head += chunk
    return head, chunks


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The decoded octets, as they come; never more than the limit.

    Raises:
        ServerTrouble: if they break off, or are too many.
    """
    came = 0
    chunks = response.iter_content(_CHUNK)
    while True:
        problem = None
        try:
            chunk = next(chunks, b"")
        except requests.exceptions.RequestException as error:
            problem = trouble(error, response.url)
        except (urllib3.exceptions.HTTPError, ValueError, OSError):  # ValueError: a chunk of a negative length
            problem = trouble(requests.exceptions.ChunkedEncodingError(), response.url)
        if problem is not None:
            raise problem
        if not chunk:
            return
        came += len(chunk)
        if came > LIMIT_MEGABYTES * 1_000_000:
            status, path = response.status_code, path_of(response.url)
            raise ServerTrouble("download_too_large", status=status, path=path, limit=LIMIT_MEGABYTES)
        yield chunk


def _kind(response: requests.Response, head: bytes, suffix: str) -> str:
    """Tells what the content is by its first octets, whatever its headers say."""
    wanted = (_plain(suffix),) if suffix else SUFFIXES
    kinds = [kind for kind in wanted if _is_kind(kind, head)]
    if kinds:
        return kinds[0]
    raise ServerTrouble(
        "download_wrong_content",
        status=response.status_code,
        path=path_of(response.url),
        wanted=", ".join(wanted),
        came=from_server(response.headers.get("Content-Type") or "-", 60) if head else "0 bytes",
    )


def _is_kind(kind: str, head: bytes) -> bool:
    return _is_xml(head) if kind == "xml" else kind in _MAGIC and head.startswith(_MAGIC[kind])


def _is_xml(head: bytes) -> bool:
    """Tells XML from a page by its first element; a page names its kind before that, as an invoice never does."""
    head = head[:_HEAD]
    encodings = [name for mark, name in _MARKS_OF_ENCODINGS if head.startswith(mark)]
    text = head.decode(encodings[0] if encodings else "latin-1", "replace").lstrip()
    declared = text.startswith("<?xml")
    while text.startswith(("<?", "<!--")):
        _, end, text = text.partition("?>" if text.startswith("<?") else "-->")
        if not end:
            return declared  # its first element is further on
        text = text.lstrip()
    element = _ELEMENT.match(text)
    return element is not None and element[1].lower() not in _SHOWN_BY_BROWSERS


# --- what it is called ---


def _proposed(disposition: str) -> str:
    """Reads the file name of a Content-Disposition (RFC 6266): `filename*` (RFC 8187) goes before `filename`."""
    found: dict[str, str] = {}
    for parameter, quoted, bare in _PARAMETER.findall(f";{disposition.partition(';')[2]}"):
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare.strip()
        found.setdefault(parameter.lower(), value)
    return _extended(found.get("filename*", "")) or _as_meant(found.get("filename", ""))


def _extended(value: str) -> str:
    """Reads `UTF-8''Rechnung%20M%C3%BCller.pdf`; empty where it is anything else."""
    encoding, _, rest = value.partition("'")
    octets = unquote_to_bytes(rest.partition("'")[2])
    if encoding.lower() not in ("utf-8", "iso-8859-1"):
        return ""
    return octets.decode(encoding, "replace")


def _as_meant(value: str) -> str:
    """Headers are read as Latin-1; many servers write UTF-8 into them."""
    with contextlib.suppress(UnicodeError):
        return value.encode("latin-1").decode()
    return value


def _stem(proposed: str) -> str:
    """Makes a harmless name of any text: letters, digits and a few marks, without its suffix; may come out empty."""
    last = proposed[: 16 * _LONGEST_NAME].replace("\\", "/").rstrip("/ ").rpartition("/")[2]
    clean = "".join(_harmless(character) for character in unicodedata.normalize("NFC", last))
    stem = _bare(" ".join(clean.split()))
    while (parts := stem.rpartition("."))[1] and _plain(parts[2]) in SUFFIXES:
        stem = _bare(parts[0])
    stem = _bare(stem.encode()[:_LONGEST_NAME].decode(errors="ignore"))
    # Windows takes these for devices, with whatever suffix.
    return f"_{stem}" if stem.partition(".")[0].rstrip().upper() in _DEVICES else stem


def _bare(stem: str) -> str:
    # In front, a dot hides a file and a dash makes an option of it; behind, Windows drops dots and blanks.
    return stem.lstrip(" .-").rstrip(" .")


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] in "LM" or category == "Nd" or character in " -_.,()+&":
        return character
    return " " if category[0] == "Z" else "" if category[0] == "C" else "_"


# --- how it is written ---


def _written(head: bytes, rest: Iterator[bytes], target: _Target, stem: str, kind: str) -> Path:
    aside = target.folder / f".{secrets.token_hex(8)}.part"
    try:
        # The mode is as the umask says: these are the person's own papers, like whatever a browser downloads.
        with os.fdopen(os.open(aside, _CREATE, 0o666), "wb") as file:
            file.write(head)
            for chunk in rest:
                file.write(chunk)
        for path in target.names(stem, kind):
            with contextlib.suppress(FileExistsError):
                _put(aside, path)
                return path
        raise FileExistsError
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _put(aside: Path, path: Path) -> None:
    """Gives a file a second name, which fails where there is anything of that name, a link included.

    Raises:
        FileExistsError: if there is.
    """
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:
        pass  # a file system without second names, of which each says so in its own way
    else:
        return
    with aside.open("rb") as source, os.fdopen(os.open(path, _CREATE, 0o666), "wb") as file:
        _copy(source, file, path)


def _copy(source: BinaryIO, file: BinaryIO, path: Path) -> None:
    try:
        shutil.copyfileobj(source, file)
        file.flush()
    except BaseException:
        path.unlink()
        raise


def _unwritten(error: OSError, folder: Path) -> LexofficeError:
    if error.errno in _NOT_ALLOWED:
        return StoreError("download_not_writable", folder=_told(folder))
    if error.errno in _FULL:
        return StoreError("download_disk_full", folder=_told(folder))
    return StoreError("download_not_written", folder=_told(folder), reason=from_server(error.strerror or "-", 60))
