"""Downloads: nothing is overwritten, nothing half is left, and the name is harmless whatever the server says."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePath, PureWindowsPath
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lexoffice_nb import errors
from lexoffice_nb.api import downloads
from lexoffice_nb.texts import use_language

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 600
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- x --><ubl:Invoice xmlns:ubl="urn:x"/>'
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 10
JPG = b"\xff\xd8\xff\xe0" + b"x" * 10
ID = "8f8664a8-fd86-11e1-a21f-0800200c9a66"
PATH = f"/v1/invoices/{ID}/file"


@pytest.fixture
def ask(elsewhere, server, answer):
    """Asks for a file that comes with this content and name."""

    def ask(content: bytes = PDF, disposition: str | None = None, **more: object):
        headers = {"Content-Type": "application/pdf", **more.pop("headers", {})}
        if disposition is not None:
            headers["Content-Disposition"] = disposition
        server.answers[PATH] = [answer(200, content, headers, **more)]
        return elsewhere.get(PATH, stream=True, timeout=(5, 1))

    return ask


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def named(disposition: str, fallback: str = ID) -> str:
    return downloads._stem(downloads._proposed(disposition)) or downloads._stem(fallback)


class TestAFile:
    def test_goes_into_a_folder_under_the_name_of_the_server(self, ask, tmp_path):
        path = downloads.save(ask(disposition="inline; filename=Rechnung_RE0009.pdf;"), tmp_path, "pdf", ID)
        assert path == tmp_path / "Rechnung_RE0009.pdf"
        assert path.read_bytes() == PDF
        assert names(tmp_path) == ["Rechnung_RE0009.pdf"]

    def test_without_a_name_has_its_id(self, ask, tmp_path):
        assert downloads.save(ask(), str(tmp_path), "pdf", ID).name == f"{ID}.pdf"
        assert downloads.save(ask(), str(tmp_path) + "/", "pdf").name == "lexoffice.pdf"

    def test_goes_to_a_path(self, ask, tmp_path):
        for name in ("a.pdf", "b.PDF", "with blank.pdf"):
            path = downloads.save(ask(disposition="inline; filename=other.pdf"), tmp_path / name, "pdf", ID)
            assert (path, path.read_bytes()) == (tmp_path / name, PDF)

    def test_goes_home(self, ask, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert downloads.save(ask(), "~", "pdf", "a") == tmp_path / "a.pdf"
        assert downloads.save(ask(), "~/b.pdf", "pdf") == tmp_path / "b.pdf"

    def test_goes_into_the_folder_of_the_notebook(self, ask, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert downloads.save(ask(), "a.pdf", "pdf") == Path("a.pdf")
        assert downloads.save(ask(), "", "pdf", "b") == Path("b.pdf")
        assert names(tmp_path) == ["a.pdf", "b.pdf"]

    def test_comes_as_bytes(self, ask):
        assert downloads.content(ask(), "pdf") == PDF
        assert downloads.content(ask(XML), "xml") == XML

    def test_has_the_mode_that_the_umask_says(self, ask, tmp_path):
        before = os.umask(0o027)
        try:
            path = downloads.save(ask(), tmp_path, "pdf", "a")
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_frees_the_connection_whatever_happens(self, ask, tmp_path):
        for content, to in ((PDF, tmp_path), (b"<html>", tmp_path), (PDF, tmp_path / "no" / "x.pdf")):
            response = ask(content)
            with contextlib.suppress(errors.LexofficeError):
                downloads.save(response, to, "pdf")
            assert response.raw.closed


class TestContent:
    @pytest.mark.parametrize(
        ("content", "suffix"),
        [
            (PDF, "pdf"),
            (XML, "xml"),
            (PNG, "png"),
            (JPG, "jpg"),
            (b"\xef\xbb\xbf" + XML, "xml"),
            (" <?xml version='1.0' encoding='UTF-16'?><Invoice/>".encode("utf-16"), "xml"),
            (b"<rsm:CrossIndustryInvoice>", "xml"),
            (b"<?xml?><!--" + b"x" * 5000 + b"--><a/>", "xml"),
        ],
    )
    def test_gives_the_suffix_where_none_was_asked_for(self, ask, tmp_path, content, suffix):
        path = downloads.save(ask(content, "inline; filename=scan.exe"), tmp_path, "", ID)
        assert (path.name, path.read_bytes()) == (f"scan.exe.{suffix}", content)
        assert downloads.content(ask(content), suffix) == content

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"<html><body>sign in</body></html>",
            b"<!DOCTYPE html><html>",
            b"\n<!-- x --><!doctype HTML>",
            b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>",
            b"<?xml version='1.0'?><x:HTML xmlns:x='http://www.w3.org/1999/xhtml'/>",
            b"<svg onload='alert(1)'/>",
            b'{"message":"Internal server error"}',
            b"%PD",
            b" %PDF-1.7",
            b"MZ\x90\x00",
            b"#!/bin/sh\n",
            b"<",
            b"<!--" + b"x" * 10_000,
            b"<?a?>" * 800,
        ],
    )
    def test_that_is_none_of_these_is_refused(self, ask, tmp_path, content):
        for suffix in ("pdf", "xml", ""):
            begun = time.monotonic()
            with pytest.raises(errors.ServerTrouble) as refused:
                downloads.save(ask(content, "inline; filename=Rechnung.pdf"), tmp_path, suffix, ID)
            assert (refused.value.code, refused.value.status, refused.value.path) == (
                "download_wrong_content",
                200,
                PATH,
            )
            with pytest.raises(errors.ServerTrouble):
                downloads.content(ask(content), suffix)
            assert time.monotonic() - begun < 5
        assert names(tmp_path) == []

    def test_that_is_another_format_is_refused(self, ask, tmp_path):
        for content, suffix in ((XML, "pdf"), (PDF, "xml"), (PNG, "jpg")):
            with pytest.raises(errors.ServerTrouble, match=rf"asked for \({suffix}\).*\(application/pdf\)"):
                downloads.save(ask(content), tmp_path, suffix, ID)
        assert names(tmp_path) == []

    def test_threat_26_the_type_that_the_server_names_is_shown_harmless(self, ask, tmp_path):
        with pytest.raises(errors.ServerTrouble) as refused:
            downloads.save(ask(b"x", headers={"Content-Type": "https://evil.example/\x1b[31m" + "x" * 500}), tmp_path)
        assert "://" not in str(refused.value)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 400

    def test_comes_in_small_pieces(self, elsewhere, server, answer, tmp_path):
        with trickling(b"".join(b"1\r\n%c\r\n" % octet for octet in PDF[:300]) + b"0\r\n\r\n") as url:
            response = elsewhere.get(f"{url}/x", stream=True)
            assert downloads.save(response, tmp_path, "pdf", "a").read_bytes() == PDF[:300]


class TestThreat36:
    """Names that become paths."""

    @pytest.mark.parametrize(
        ("disposition", "stem"),
        [
            ("inline; filename=Rechnung_RE0009.pdf;", "Rechnung_RE0009"),
            ('attachment; filename="Rechnung RE 9.pdf"', "Rechnung RE 9"),
            ("inline; filename=Rechnung RE 9.pdf", "Rechnung RE 9"),
            ("INLINE;FileName = a.PDF ", "a"),
            ("inline; filename=RE.2025.001", "RE.2025.001"),
            ("inline; filename=a.pdf.pdf.xml", "a"),
            (r'inline; filename="a\"b\;c.pdf"', "a_b_c"),
            ('inline; filename="a;b.pdf"', "a_b"),
            ("inline; filename*=UTF-8''Rechnung%20M%C3%BCller.pdf; filename=other.pdf", "Rechnung Müller"),
            ("inline; filename=other.pdf; filename*=utf-8'de'M%C3%BCller%E2%82%AC.pdf", "Müller_"),
            ("inline; filename*=iso-8859-1''M%FCller.pdf", "Müller"),
            ("inline; filename*=rot13''x.pdf; filename=a.pdf", "a"),
            ("inline; filename*=; filename=a.pdf", "a"),
            ("inline; filename=Müller.pdf", "Müller"),
            ("inline; filename=Müller.pdf".encode().decode("latin-1"), "Müller"),
            ("inline; filename=../../etc/passwd", "passwd"),
            ("inline; filename=/etc/cron.d/x.pdf", "x"),
            (r"inline; filename=..\..\Startup\x.pdf", "x"),
            (r"inline; filename=C:\x.pdf", "x"),
            ("inline; filename=C:x.pdf", "C_x"),
            ("inline; filename=x.pdf:stream", "x.pdf_stream"),
            ("inline; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
            ("inline; filename=%2e%2e%2fa", "_2e_2e_2fa"),
            ("inline; filename=", ID),
            ('inline; filename=""', ID),
            ("inline", ID),
            ("", ID),
            ("filename=a.pdf", ID),
            ("inline; filename=.", ID),
            ("inline; filename=..", ID),
            ("inline; filename=../", ID),
            ("inline; filename=.pdf", "pdf"),
            ("inline; filename*=UTF-8''%00", ID),
            ("inline; filename*=UTF-8''a%00b%0A%1B%5B31m.pdf", "ab_31m"),
            ("inline; filename*=UTF-8''%E2%80%AEfdp.exe.pdf", "fdp.exe"),
            ("inline; filename*=UTF-8''a%E2%80%8B%EF%BB%BF%C2%ADb", "ab"),
            ("inline; filename=.bashrc", "bashrc"),
            ("inline; filename=-rf.pdf", "rf"),
            ("inline; filename=~/x.pdf", "x"),
            ("inline; filename=a. . ..pdf", "a"),
            ("inline; filename=CON.pdf", "_CON"),
            ("inline; filename=con", "_con"),
            ("inline; filename=aux.tar.pdf", "_aux.tar"),
            ("inline; filename=LPT1 .x.pdf", "_LPT1 .x"),
            ("inline; filename*=UTF-8''COM%C2%B9.pdf", "COM_"),
            ("inline; filename=CONSOLE.pdf", "CONSOLE"),
            ("inline; filename=a*?|<>$`'#!{}.pdf", "a" + "_" * 12),
            ("inline; filename*=UTF-8''%EF%BC%8Fetc%EF%BC%8Fx.pdf", "_etc_x"),
            (f"inline; filename={'x' * 300}.pdf", "x" * 100),
            (f"inline; filename*=UTF-8''{quote('ü' * 300)}.pdf", "ü" * 50),
            ("inline; filename=" + "../" * 10_000, ID),
            ("inline; filename=a.pdf; filename=b.pdf", "a"),
        ],
    )
    def test_are_made_harmless(self, disposition, stem):
        assert named(disposition) == stem

    @settings(max_examples=500)
    @given(st.text() | st.text("./\\ -~CONcon1:*\x00\u202eü;\"'%=").map(lambda text: text * 3), st.text(max_size=50))
    @example("CON.pdf", "")
    @example("." * 400, "..")
    def test_of_any_text_are_one_plain_name_in_the_folder(self, proposed, fallback):
        for disposition in (
            proposed,
            f"inline; filename={proposed}",
            f"inline; filename*=UTF-8''{quote(proposed.encode(errors='ignore'))}",
        ):
            stem = named(disposition, fallback) or "lexoffice"
            name = f"{stem} (9999).pdf"
            assert PurePath(name).name == name == PureWindowsPath(name).name
            assert stem == stem.strip(" .")
            assert stem[0] not in ".-~"
            assert name.isprintable()
            assert len(name.encode()) <= 143
            assert not PureWindowsPath(f"{stem}.pdf").is_reserved()

    @pytest.mark.parametrize("name", ["../../escaped.pdf", "/tmp/escaped.pdf", "a/b/escaped.pdf", "escaped.exe"])
    def test_stay_in_the_folder_on_the_wire(self, ask, tmp_path, name):
        folder = tmp_path / "a" / "b"
        folder.mkdir(parents=True)
        path = downloads.save(ask(disposition=f"inline; filename={name}"), folder, "pdf", ID)
        assert path.parent == folder
        assert path.suffix == ".pdf"
        assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]

    def test_a_download_overwrites_nothing_in_a_folder(self, ask, tmp_path):
        (tmp_path / "a.pdf").write_text("mine")
        (tmp_path / "a (3).pdf").mkdir()
        got = [downloads.save(ask(disposition="inline; filename=a.pdf"), tmp_path, "pdf").name for _ in range(3)]
        assert got == ["a (2).pdf", "a (4).pdf", "a (5).pdf"]
        assert (tmp_path / "a.pdf").read_text() == "mine"

    def test_a_download_overwrites_no_file_that_was_named(self, ask, tmp_path):
        (tmp_path / "a.pdf").write_text("mine")
        (tmp_path / "dead.pdf").symlink_to("nowhere")
        for name in ("a.pdf", "dead.pdf"):
            with pytest.raises(errors.Invalid, match="exists already"):
                downloads.save(ask(), tmp_path / name, "pdf")
            with pytest.raises(errors.Invalid, match="exists already"):
                downloads.check(tmp_path / name, "pdf")
        assert (tmp_path / "a.pdf").read_text() == "mine"
        assert names(tmp_path) == ["a.pdf", "dead.pdf"]

    def test_a_file_that_appears_meanwhile_is_not_overwritten(self, ask, tmp_path):
        response = ask()
        chunks = response.iter_content

        def iter_content(size):
            yield from chunks(size)
            (tmp_path / "a.pdf").write_text("mine")

        response.iter_content = iter_content
        with pytest.raises(errors.Invalid, match="exists already"):
            downloads.save(response, tmp_path / "a.pdf", "pdf")
        assert (tmp_path / "a.pdf").read_text() == "mine"
        assert names(tmp_path) == ["a.pdf"]

    def test_a_link_that_was_planted_is_not_followed(self, ask, tmp_path):
        victim, folder = tmp_path / "victim", tmp_path / "folder"
        folder.mkdir()
        (folder / "a.pdf").symlink_to(victim)
        (folder / "a (2).pdf").symlink_to("/dev/null")
        assert downloads.save(ask(disposition="inline; filename=a.pdf"), folder, "pdf").name == "a (3).pdf"
        assert not victim.exists()

    @pytest.mark.parametrize("links", [True, False])
    def test_two_at_the_same_time_get_two_names(self, elsewhere, server, answer, tmp_path, monkeypatch, links):
        if not links:
            monkeypatch.setattr(os, "link", without_links)
        server.answers[PATH] = [answer(200, PDF, {"Content-Disposition": "inline; filename=a.pdf"})]
        responses = [elsewhere.get(PATH, stream=True) for _ in range(8)]
        threads = [threading.Thread(target=downloads.save, args=(each, tmp_path, "pdf")) for each in responses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert names(tmp_path) == sorted(["a.pdf", *(f"a ({n}).pdf" for n in range(2, 9))])
        assert {each.read_bytes() for each in tmp_path.iterdir()} == {PDF}

    def test_a_file_system_without_second_names_is_no_hindrance(self, ask, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "link", without_links)
        (tmp_path / "a.pdf").symlink_to(tmp_path / "victim")
        path = downloads.save(ask(disposition="inline; filename=a.pdf"), tmp_path, "pdf")
        assert (path.name, path.read_bytes()) == ("a (2).pdf", PDF)
        assert names(tmp_path) == ["a (2).pdf", "a.pdf"]
        with pytest.raises(errors.Invalid):
            downloads.save(ask(), tmp_path / "a.pdf", "pdf")


def without_links(*_: object) -> None:
    raise OSError(errno.EPERM, "no links here")


class TestNothingHalf:
    def test_is_left_by_a_cut(self, ask, tmp_path):
        for to in (tmp_path, tmp_path / "a.pdf"):
            with pytest.raises(errors.ServerTrouble) as cut:
                downloads.save(ask(promised=10**6), to, "pdf")
            assert cut.value.code == "api_broken_off"
        with pytest.raises(errors.ServerTrouble):
            downloads.content(ask(promised=10**6), "pdf")
        assert names(tmp_path) == []

    def test_is_left_by_a_stall(self, ask, tmp_path):
        with pytest.raises(errors.ServerTrouble) as stalled:
            downloads.save(ask(promised=10**6, stalls=5.0), tmp_path, "pdf")
        assert stalled.value.code == "api_timeout"
        assert names(tmp_path) == []

    def test_is_left_by_a_damaged_encoding(self, ask, tmp_path):
        whole = gzip.compress(PDF)
        damaged = whole[:100] + b"damaged, damaged" + whole[116:]
        with pytest.raises(errors.ServerTrouble) as refused:
            downloads.save(ask(damaged, headers={"Content-Encoding": "gzip"}), tmp_path, "pdf")
        assert refused.value.code == "api_broken_off"
        assert names(tmp_path) == []

    @pytest.mark.parametrize(
        "body", [b"-5\r\n%PDF-\r\n0\r\n\r\n", b"zz\r\n%PDF-", b"ffffffffffff\r\n%PDF-", b"\r\n", b""]
    )
    def test_is_left_by_damaged_chunks(self, elsewhere, tmp_path, body):
        with trickling(body) as url:
            response = elsewhere.get(f"{url}/x", stream=True)
            with pytest.raises(errors.ServerTrouble):
                downloads.save(response, tmp_path, "pdf")
        assert names(tmp_path) == []

    def test_is_left_by_what_is_too_large(self, ask, tmp_path, monkeypatch):
        monkeypatch.setattr(downloads, "LIMIT_MEGABYTES", 1)
        bomb = gzip.compress(b"%PDF-" + bytes(1_000_000))
        for take in (lambda r: downloads.save(r, tmp_path, "pdf"), lambda r: downloads.content(r, "pdf")):
            with pytest.raises(errors.ServerTrouble, match="larger than 1 MB"):
                take(ask(bomb, headers={"Content-Encoding": "gzip"}))
            with pytest.raises(errors.ServerTrouble, match="larger than 1 MB"):
                take(ask(b"%PDF-" + bytes(1_000_000)))
        assert names(tmp_path) == []
        assert downloads.content(ask(b"%PDF-" + bytes(999_995)), "pdf")

    def test_is_left_by_an_interrupt(self, ask, tmp_path):
        response = ask(promised=10**6, stalls=5.0)
        seen = []

        def interrupt() -> None:
            ends = time.monotonic() + 3
            while not seen and time.monotonic() < ends:
                seen.extend(names(tmp_path))
                time.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            downloads.save(response, tmp_path, "pdf")
        thread.join()
        assert len(seen) == 1
        assert seen[0].endswith(".part")
        assert names(tmp_path) == []

    def test_is_left_where_the_room_ends(self, tmp_path):
        """The limit of a process stands in for a full disk, with and without second names."""
        script = tmp_path / "full.py"
        script.write_text(FULL)
        here = {**os.environ, "PYTHONPATH": str(Path(downloads.__file__).parents[2])}
        for links in ("links", "none"):
            folder = tmp_path / links
            folder.mkdir()
            done = subprocess.run(
                [sys.executable, script, folder, links], capture_output=True, text=True, timeout=60, env=here
            )
            assert done.stdout == "StoreError download_disk_full []\n", done.stderr


FULL = """
import os, pathlib, resource, sys, io
import requests
from urllib3 import HTTPResponse
from lexoffice_nb.api import downloads
from lexoffice_nb.errors import LexofficeError
folder = pathlib.Path(sys.argv[1])
def none(*_):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    raise PermissionError(1, "no links")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
if sys.argv[2] == "none":
    os.link = none
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
response = requests.Response()
response.raw = HTTPResponse(io.BytesIO(b"%PDF-" + bytes(100_000)), preload_content=False)
response.status_code, response.url = 200, "http://127.0.0.1/x"
try:
    downloads.save(response, folder, "pdf")
except LexofficeError as error:
    print(type(error).__name__, error.code, os.listdir(folder))
"""


class TestBadPaths:
    @pytest.mark.parametrize(
        ("to", "code"),
        [
            ("missing/a.pdf", "download_no_folder"),
            ("missing/", "download_no_folder"),
            ("file.txt/a.pdf", "download_no_folder"),
            ("missing", "download_no_folder"),
            ("a.xml", "download_suffix"),
            ("a.pdf.exe", "download_suffix"),
            ("a\0b.pdf", "download_no_path"),
            ("~nobody-of-this-name/a.pdf", "download_no_path"),
            ("x" * 5000 + ".pdf", "download_no_path"),
            ("ü" * 126 + ".pdf", "download_no_path"),
        ],
    )
    def test_are_refused_in_words_before_anything_is_asked(self, ask, tmp_path, monkeypatch, to, code):
        monkeypatch.chdir(tmp_path)
        Path("file.txt").touch()
        for refuse in (lambda: downloads.check(to, "pdf"), lambda: downloads.save(ask(), to, "pdf", ID)):
            with pytest.raises(errors.Invalid) as refused:
                refuse()
            assert refused.value.code == code
            assert len(refused.value._render_traceback_()) == 2
            assert str(refused.value).isprintable()
            assert len(str(refused.value)) < 500
        assert names(tmp_path) == ["file.txt"]

    def test_that_do_not_fit_what_came_are_refused_as_well(self, ask, tmp_path):
        with pytest.raises(errors.Invalid, match=r"ends in [.]xml"):
            downloads.save(ask(XML), tmp_path / "a.pdf")
        assert downloads.save(ask(JPG), tmp_path / "a.jpeg").read_bytes() == JPG
        assert names(tmp_path) == ["a.jpeg"]

    @pytest.mark.skipif(sys.platform != "linux", reason="a folder in which root cannot write either")
    @pytest.mark.parametrize("to", ["/sys", "/sys/a.pdf"])
    def test_of_others_are_refused_in_words(self, ask, to):
        use_language("de")
        with pytest.raises(errors.StoreError) as refused:
            downloads.save(ask(), to, "pdf", ID)
        assert refused.value._render_traceback_()[0] == "StoreError: In /sys dürfen Sie nicht schreiben."

    def test_that_go_away_meanwhile_are_said_in_words(self, ask, tmp_path):
        folder = tmp_path / "folder"
        folder.mkdir()
        response = ask()
        chunks = response.iter_content

        def iter_content(size):
            folder.rmdir()
            yield from chunks(size)

        response.iter_content = iter_content
        with pytest.raises(errors.StoreError) as refused:
            downloads.save(response, folder, "pdf")
        assert refused.value.code == "download_not_written"
        assert "No such file" in str(refused.value)


class trickling:  # noqa: N801 - used like a function
    """A server on loopback that sends these octets as a chunked body, one answer, and closes."""

    def __init__(self, body: bytes) -> None:
        self._head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        self._body = body
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(10)
            connection.recv(65536)
            connection.sendall(self._head + self._body)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join(15)
        self._socket.close()
