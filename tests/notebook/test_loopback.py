"""The loopback listener, over real sockets and in a real browser."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import io
import pickle
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lexoffice_nb.notebook import loopback, loopback_sockets
from lexoffice_nb.notebook.loopback import LoopbackListener, Page, PortTaken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message
    from pathlib import Path

DONE = Page("You are signed in", "You can close this tab.")


class Response(NamedTuple):
    status: int
    headers: Message
    body: str


class Wait:
    """A listener and what it caught."""

    def __init__(self, **options: object) -> None:
        self.caught: list[str] = []
        self.answer: Callable[[str], Page] = lambda url: DONE
        self.listener = LoopbackListener(self.on_callback, **options)  # type: ignore[arg-type]
        self.port = self.listener.port

    def on_callback(self, url: str) -> Page:
        self.caught.append(url)
        return self.answer(url)


@pytest.fixture
def wait() -> Iterator[Wait]:
    waiting = Wait()
    yield waiting
    waiting.listener.close()


def exchange(port: int, data: bytes, host: str = "127.0.0.1") -> bytes:
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def request(
    port: int,
    target: str = "/callback?code=abc&state=xyz",
    method: str = "GET",
    *,
    host: str | None = None,
    headers: tuple[str, ...] = (),
    body: bytes = b"",
    address: str = "127.0.0.1",
) -> Response:
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", *headers, "", "")
    answer = exchange(port, "\r\n".join(lines).encode("latin-1") + body, address)
    head, _, content = answer.partition(b"\r\n\r\n")
    first, _, rest = head.partition(b"\r\n")
    return Response(int(first.split()[1]), BytesHeaderParser().parsebytes(rest), content.decode())


def names_of_threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate())


def bind(family: socket.AddressFamily, host: str, port: int, *options: int) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        for option in options:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((host, port))
        sock.listen()


def run_python(program: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


# --- what is bound --------------------------------------------------------------------------------------------------


@pytest.mark.case("real/15-literal-ip")
def test_redirect_uri_has_the_literal_ip_and_the_bound_port(wait: Wait) -> None:
    assert wait.listener.redirect_uri == f"http://127.0.0.1:{wait.port}/callback"
    assert wait.port > 0
    assert request(wait.port).status == 200


def test_path_can_be_chosen() -> None:
    waiting = Wait(path="/oauth/done")
    with contextlib.closing(waiting.listener):
        assert waiting.listener.redirect_uri == f"http://127.0.0.1:{waiting.port}/oauth/done"
        assert request(waiting.port, "/callback?code=1").status == 404
        assert request(waiting.port, "/oauth/done?code=1").status == 200
        assert waiting.caught == [f"http://127.0.0.1:{waiting.port}/oauth/done?code=1"]


@pytest.mark.parametrize(
    "path", ["callback", "/call back", "/callback?x=1", "/callback#x", "/call\r\nback", "/cällback"]
)
def test_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        LoopbackListener(lambda url: DONE, path=path)


@pytest.mark.case("statement/12-bound-to-loopback")
def test_other_addresses_of_this_machine_are_not_served(wait: Wait) -> None:
    with pytest.raises(ConnectionRefusedError):
        exchange(wait.port, b"", "127.0.0.2")


@pytest.mark.parametrize(
    ("family", "host"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "::"),
    ],
)
@pytest.mark.parametrize(
    "options", [(), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)]
)
@pytest.mark.case("statement/12-bound-to-loopback", "statement/12-reserves-ipv6")
def test_no_other_socket_can_share_the_port_while_open(
    wait: Wait, family: socket.AddressFamily, host: str, options: tuple[int, ...]
) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        bind(family, host, wait.port, *options)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.case("statement/12-reserves-ipv6")
def test_everything_that_arrives_on_ipv6_is_refused_even_with_the_right_host(wait: Wait) -> None:
    for host in (f"[::1]:{wait.port}", f"localhost:{wait.port}", f"127.0.0.1:{wait.port}"):
        assert request(wait.port, host=host, address="::1").status == 421
    assert wait.caught == []


def test_taken_port_is_named(wait: Wait) -> None:
    with pytest.raises(PortTaken, match=f"port {wait.port} ") as caught:
        LoopbackListener(lambda url: DONE, port=wait.port)
    assert caught.value.port == wait.port
    assert caught.value.errno == errno.EADDRINUSE
    assert pickle.loads(pickle.dumps(caught.value)).port == wait.port


@pytest.mark.case("statement/12-reserves-ipv6")
def test_fixed_port_that_is_taken_only_on_ipv6_is_refused_and_nothing_stays_bound() -> None:
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken):
            LoopbackListener(lambda url: DONE, port=port)
        bind(socket.AF_INET, "127.0.0.1", port)


def test_another_port_is_taken_when_the_first_one_is_not_free_on_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every port that the system proposes first is taken on ::1 before the listener gets there."""
    real, thieves = loopback_sockets._listening_on_ipv6, []

    def stolen_once(port: int) -> socket.socket | None:
        if not thieves:
            thieves.append(real(port))
        return real(port)

    monkeypatch.setattr(loopback_sockets, "_listening_on_ipv6", stolen_once)
    with contextlib.closing(LoopbackListener(lambda url: DONE)) as listener, contextlib.closing(thieves[0]) as thief:
        assert listener.port != thief.getsockname()[1]
        assert request(listener.port, host="[::1]", address="::1").status == 421


@pytest.mark.parametrize("reason", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, None])
def test_machine_without_ipv6_goes_on_with_ipv4(monkeypatch: pytest.MonkeyPatch, reason: int | None) -> None:
    if reason is None:
        monkeypatch.setattr(socket, "has_ipv6", False)
    else:
        real = loopback_sockets._listening

        def without_ipv6(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(reason, "no IPv6 here")
            return real(family, host, port)

        monkeypatch.setattr(loopback_sockets, "_listening", without_ipv6)
    waiting = Wait()
    with contextlib.closing(waiting.listener):
        assert request(waiting.port).status == 200
        with pytest.raises(ConnectionRefusedError):
            exchange(waiting.port, b"", "::1")


@pytest.mark.case("real/15-fixed-port")
def test_fixed_port_is_free_again_right_after_close_although_connections_are_in_time_wait(wait: Wait) -> None:
    for _ in range(5):
        assert request(wait.port).status == 200
    with socket.create_connection(("127.0.0.1", wait.port)):  # and one that the listener has to cut off
        wait.listener.close()
        for _ in range(3):
            with contextlib.closing(LoopbackListener(lambda url: DONE, port=wait.port)) as again:
                assert again.port == wait.port
                assert request(again.port).status == 200


def test_sockets_are_not_inherited_by_programs_that_are_started(wait: Wait) -> None:
    assert [sock.get_inheritable() for sock in wait.listener._listening] == [False, False]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_forked_child_does_not_hold_the_port() -> None:
    """A worker of multiprocessing outlives the sign-in; its copies of the sockets must not."""
    out = run_python("""
        import os, signal, socket
        from lexoffice_nb.notebook.loopback import LoopbackListener, Page
        listener = LoopbackListener(lambda url: Page("a", "b"))
        listener.close(); fresh = LoopbackListener(lambda url: Page("a", "b"), port=listener.port)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, b"!"); signal.alarm(20); signal.pause()
        os.read(reader, 1)
        fresh.close()
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as sock:
                sock.bind((host, fresh.port)); sock.listen()
        os.kill(child, 9); os.waitpid(child, 0)
        print("free")
        """)
    assert out == "free\n"


def test_forked_child_leaves_the_parent_listening_and_can_close() -> None:
    out = run_python("""
        import os, urllib.request
        from lexoffice_nb.notebook.loopback import LoopbackListener, Page
        listener = LoopbackListener(lambda url: Page("a", "b"))
        child = os.fork()
        if not child:
            listener.close()
            os._exit(0 if listener.closed else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(urllib.request.urlopen(listener.redirect_uri + "?code=1", timeout=5).status)
        """)
    assert out == "0\n200\n"


# --- which requests are callbacks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "code=abc&state=xyz",
        "error=access_denied",
        "state=",
        "x=1&code=%2F+%20a&iss=https%3A%2F%2Fi.example",
        "code=a&code=b",
    ],
)
def test_callback_url_is_handed_over_as_received(wait: Wait, query: str) -> None:
    assert request(wait.port, f"/callback?{query}").status == 200
    assert wait.caught == [f"http://127.0.0.1:{wait.port}/callback?{query}"]


@pytest.mark.parametrize(
    "host",
    [
        "localhost:{}",
        "127.0.0.1",
        "127.0.0.1:1",
        "evil.example:{}",
        "127.0.0.1:{}.evil.example",
        "[::1]:{}",
        "127.0.0.2:{}",
    ],
)
def test_other_host_is_421(wait: Wait, host: str) -> None:
    assert request(wait.port, host=host.format(wait.port)).status == 421
    assert wait.caught == []


def test_localhost_is_answered_only_where_the_redirect_uri_is_registered_with_it() -> None:
    """A browser may come by ::1 then; both addresses are ours."""
    waiting = Wait(host="localhost")
    with contextlib.closing(waiting.listener):
        assert waiting.listener.redirect_uri == f"http://localhost:{waiting.port}/callback"
        for address in ("127.0.0.1", "::1"):
            assert request(waiting.port, host=f"localhost:{waiting.port}", address=address).status == 200
            assert request(waiting.port, address=address).status == 421
        assert waiting.caught == [f"http://localhost:{waiting.port}/callback?code=abc&state=xyz"] * 2


def test_missing_or_repeated_host_is_421(wait: Wait) -> None:
    assert exchange(wait.port, b"GET /callback?code=1 HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert request(wait.port, headers=("Host: evil.example",)).status == 421
    assert wait.caught == []


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/favicon.ico",
        "/callback/?code=1",
        "/Callback?code=1",
        "/x/../callback?code=1",
        "//callback?code=1",
        "/%63allback?code=1",
        "http://127.0.0.1/callback?code=1",
        "*",
    ],
)
@pytest.mark.case("statement/10-exact-path", "statement/10-others-404")
def test_other_path_is_404(wait: Wait, target: str) -> None:
    assert request(wait.port, target).status == 404
    assert wait.caught == []


@pytest.mark.parametrize("target", ["/callback", "/callback?", "/callback?x=1", "/callback?decode=1&estate=2"])
def test_path_without_an_answer_in_its_query_is_404(wait: Wait, target: str) -> None:
    assert request(wait.port, target).status == 404
    assert wait.caught == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "get", "BREW"])
def test_other_method_is_405(wait: Wait, method: str) -> None:
    answer = request(wait.port, method=method, headers=("Content-Length: 6",), body=b"code=1")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"
    assert (answer.body == "") is (method == "HEAD")
    assert wait.caught == []


@pytest.mark.parametrize(
    "header",
    [
        "Sec-Purpose: prefetch",
        "Sec-Purpose: prefetch;prerender",
        "sec-purpose: Prefetch",
        "Purpose: prefetch",
        "X-Moz: prefetch",
    ],
)
def test_prefetch_is_refused_so_that_the_visit_finds_the_code_unused(wait: Wait, header: str) -> None:
    assert request(wait.port, headers=(header,)).status == 503
    assert wait.caught == []
    assert request(wait.port).status == 200


@pytest.mark.parametrize("length", [16 * 1024 + 1, 100_000, 1_000_000])
def test_request_line_over_16_kib_is_414(wait: Wait, length: int) -> None:
    target = "/callback?code=".ljust(length - len("GET  HTTP/1.1"), "a")
    assert request(wait.port, target).status == 414
    assert wait.caught == []


def test_request_line_of_16_kib_is_served(wait: Wait) -> None:
    assert request(wait.port, "/callback?code=".ljust(16 * 1024 - len("GET  HTTP/1.1"), "a")).status == 200


def test_refusal_can_be_read_by_a_client_that_is_still_sending(wait: Wait) -> None:
    """Closing over unread bytes resets the connection, and the browser shows its own error instead of the page."""
    with socket.create_connection(("127.0.0.1", wait.port), timeout=5) as sock:
        sock.sendall(b"GET /callback?code=" + b"a" * 20_000)
        for _ in range(5):
            time.sleep(0.05)
            sock.sendall(b"a" * 20_000)
        assert sock.recv(20).startswith(b"HTTP/1.1 414 ")


def test_endless_headers_are_431(wait: Wait) -> None:
    assert request(wait.port, headers=("X: " + "a" * 70_000,)).status == 431
    assert wait.caught == []


@pytest.mark.parametrize(
    "head",
    [
        "GET /callback?code=1\r\nHost: 127.0.0.1:{}",
        "GET /callback?code=1 HTTP/2.0\r\nHost: 127.0.0.1:{}",
        "GET /callback?code=a b HTTP/1.1\r\nHost: 127.0.0.1:{}",
        "GET /callback?code=\x00 HTTP/1.1\r\nHost: 127.0.0.1:{}",
        "GET /callback?code=\xe4 HTTP/1.1\r\nHost: 127.0.0.1:{}",
        "GET /callback?code=1#x HTTP/1.1\r\nHost: 127.0.0.1:{}",
        "GET /callback?code=1 HTTP/1.1\r\nHost : 127.0.0.1:{}",
        "GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n folded",
        "GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{}\nX: y",
        "GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nno colon",
        "\x16\x03\x01\x02",
    ],
)
def test_malformed_request_is_400(wait: Wait, head: str) -> None:
    data = head.format(wait.port).encode("latin-1") + b"\r\n\r\n"
    assert exchange(wait.port, data).startswith(b"HTTP/1.1 400 ")
    assert wait.caught == []


@pytest.mark.case("statement/10-others-404")
def test_stray_requests_do_not_end_the_wait_for_the_right_one(wait: Wait) -> None:
    strays = [
        request(wait.port, "/favicon.ico"),
        request(wait.port, host=f"localhost:{wait.port}"),
        request(wait.port, method="POST"),
        request(wait.port, "/callback"),
        request(wait.port, headers=("Purpose: prefetch",)),
    ]
    assert [stray.status for stray in strays] == [404, 421, 405, 404, 503]
    assert (request(wait.port).status, len(wait.caught)) == (200, 1)


def test_callback_that_comes_byte_by_byte_is_the_same(wait: Wait) -> None:
    data = f"GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{wait.port}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", wait.port), timeout=5) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            sock.send(bytes([byte]))
        assert sock.recv(20).startswith(b"HTTP/1.1 200 ")


# --- on_callback ----------------------------------------------------------------------------------------------------


def test_simultaneous_callbacks_are_handed_over_one_at_a_time(wait: Wait) -> None:
    running, most = 0, 0

    def slow(url: str) -> Page:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return DONE

    wait.answer = slow
    tabs = [threading.Thread(target=request, args=(wait.port, f"/callback?code={n}")) for n in range(6)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join(5)
    assert (len(wait.caught), most) == (6, 1)


def test_other_requests_are_answered_while_on_callback_works(wait: Wait) -> None:
    release = threading.Event()

    def working(url: str) -> Page:
        release.wait(5)
        return DONE

    wait.answer = working
    tab = threading.Thread(target=request, args=(wait.port,))
    tab.start()
    try:
        began = time.monotonic()
        assert request(wait.port, "/favicon.ico").status == 404
        assert time.monotonic() - began < 1
    finally:
        release.set()
        tab.join(5)


@pytest.mark.parametrize(
    "error", [RuntimeError("code=topsecret"), SystemExit("topsecret"), KeyboardInterrupt("topsecret")]
)
def test_failing_on_callback_gives_a_plain_500_and_the_listener_goes_on(
    wait: Wait, capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def fail(url: str) -> Page:
        raise error

    wait.answer = fail
    answer = request(wait.port, "/callback?code=topsecret")
    assert answer.status == 500
    assert "topsecret" not in answer.body
    assert "Traceback" not in answer.body
    wait.answer = lambda url: DONE
    assert request(wait.port).status == 200
    assert capfd.readouterr() == ("", "")


def test_something_else_than_a_page_is_a_500(wait: Wait) -> None:
    wait.answer = lambda url: None  # type: ignore[assignment, return-value]
    assert request(wait.port).status == 500


def test_status_of_the_page_is_the_status_of_the_answer(wait: Wait) -> None:
    wait.answer = lambda url: Page("That was another tab", "Use the newest one.", ok=False, status=400)
    assert request(wait.port).status == 400


def test_refusals_show_the_page_they_were_given() -> None:
    nothing = Page("Hier ist nichts", "Zurück zum Notebook.", ok=False, status=404, lang="de")
    waiting = Wait(not_found=nothing, failed=Page("Das ging schief", "Noch einmal.", ok=False, status=500, lang="de"))
    with contextlib.closing(waiting.listener):
        for answer in (request(waiting.port, "/"), request(waiting.port, host="evil")):
            assert "Hier ist nichts" in answer.body
            assert '<html lang="de">' in answer.body
        waiting.answer = lambda url: None  # type: ignore[assignment, return-value]
        assert "Das ging schief" in request(waiting.port).body


# --- the page -------------------------------------------------------------------------------------------------------


def test_page_is_plain_text_in_html(wait: Wait) -> None:
    evil = "<script>alert(1)</script> & \"x\" 'y'"
    wait.answer = lambda url: Page(evil, evil, lang='en"><script>')
    body = request(wait.port).body
    assert body.count("<script>") == 1  # ours
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot; &#x27;y&#x27;" in body
    assert '<html lang="en&quot;&gt;&lt;script&gt;">' in body


@pytest.mark.case("statement/10-no-cors", "statement/10-redirects-nowhere")
def test_headers_of_every_answer(wait: Wait) -> None:
    for answer in (
        request(wait.port),
        request(wait.port, "/"),
        request(wait.port, host="evil"),
        request(wait.port, method="HEAD"),
    ):
        csp = answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Connection"] == "close"
        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-\S{44}'; script-src 'sha256-\S{44}'; "
            r"frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            csp,
        )
        names = {name.lower() for name in answer.headers}
        assert not names & {"server", "set-cookie", "location", "refresh", "link"}
        assert not any(name.startswith("access-control-") for name in names)


def test_csp_allows_exactly_the_script_and_the_style_of_the_page(wait: Wait) -> None:
    answer = request(wait.port)
    for tag in ("script", "style"):
        sources = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", answer.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(sources[0].encode()).digest()).decode()
        assert len(sources) == 1
        assert f"{tag}-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


@pytest.mark.case("statement/10-loads-nothing", "statement/10-redirects-nowhere", "statement/10-no-code")
def test_page_loads_nothing_and_leads_nowhere(wait: Wait) -> None:
    body = request(wait.port).body
    assert not re.search(r"https?:|src=|href=|url\(|@import|http-equiv|<form|<iframe|<a\b|\son\w+=", body)
    assert "abc" not in body  # the code
    assert "xyz" not in body


@pytest.mark.parametrize(
    ("ok", "lang", "word"), [(True, "en", "Done"), (False, "en", "Problem"), (True, "de-AT", "Fertig")]
)
def test_page_has_an_icon_and_a_word_and_a_status_role(wait: Wait, ok: bool, lang: str, word: str) -> None:
    wait.answer = lambda url: Page("Title", "Text", ok=ok, lang=lang)
    body = request(wait.port).body
    assert re.search(rf'<div role="status">\s*<p class="mark \w+"><svg.*?</svg>{word}</p>', body, re.DOTALL)


# --- load, deadlines, the end ---------------------------------------------------------------------------------------


def test_threat_15_callback_is_served_within_a_second_beside_idle_and_dripping_connections() -> None:
    """A browser's preconnect blocks a plain HTTPServer for ever (threats.md 15)."""
    before = names_of_threads()
    waiting = Wait()
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", waiting.port), timeout=5)) for _ in range(55)
        ]

        def drip() -> None:
            for byte in b"GET /callback?code=drip":
                for sock in connections[:5]:
                    with contextlib.suppress(OSError):
                        sock.send(bytes([byte]))
                if stop.wait(1):
                    return

        dripper = threading.Thread(target=drip)
        dripper.start()
        time.sleep(0.2)
        began = time.monotonic()
        assert request(waiting.port).status == 200
        assert time.monotonic() - began < 1
        began = time.monotonic()
        waiting.listener.close()
        assert time.monotonic() - began < 2
        bind(socket.AF_INET, "127.0.0.1", waiting.port, socket.SO_REUSEADDR)
        bind(socket.AF_INET6, "::1", waiting.port, socket.SO_REUSEADDR)
        for sock in connections[5:]:
            assert sock.recv(1) == b""
        stop.set()
        dripper.join(5)
    assert names_of_threads() == before


@pytest.mark.parametrize("drips", [False, True])
def test_connection_has_one_deadline_for_its_whole_request(monkeypatch: pytest.MonkeyPatch, drips: bool) -> None:
    assert loopback._READ_SECONDS == 10
    monkeypatch.setattr(loopback, "_READ_SECONDS", 0.5)
    waiting = Wait()
    with contextlib.closing(waiting.listener), socket.create_connection(("127.0.0.1", waiting.port)) as sock:
        began = time.monotonic()
        sock.settimeout(0.1)
        data = b"still connected"
        while data and time.monotonic() - began < 3:
            with contextlib.suppress(BrokenPipeError):
                sock.send(b"G" if drips else b"")
            try:
                data = sock.recv(1)
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
        assert 0.3 < time.monotonic() - began < 1.5


def test_slow_on_callback_is_not_cut_off_by_the_deadline(monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    for name in ("_READ_SECONDS", "_SEND_SECONDS", "_LINGER_SECONDS"):
        monkeypatch.setattr(loopback, name, 0.2)

    def slow(url: str) -> Page:
        time.sleep(0.8)
        return DONE

    wait.answer = slow
    assert request(wait.port).status == 200


def test_oldest_idle_connection_makes_room_for_the_129th(wait: Wait) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", wait.port), timeout=2)) for _ in range(128)]
        time.sleep(0.2)
        assert len(wait.listener._connections) == 128
        assert request(wait.port).status == 200
        assert idle[0].recv(1) == b""
        idle[1].settimeout(0.1)
        with pytest.raises(TimeoutError):
            idle[1].recv(1)


def test_client_that_reads_slowly_or_goes_away_harms_nobody(wait: Wait) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", wait.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close sends a reset
            sock.send(f"GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{wait.port}\r\n\r\n".encode())
    assert request(wait.port).status == 200
    assert len(wait.caught) == 21  # the browser may be gone, the code counts


def test_close_is_idempotent_and_ends_both_threads() -> None:
    before = names_of_threads()
    waiting = Wait()
    assert not waiting.listener.closed
    assert len(names_of_threads()) == len(before) + 2
    for _ in range(3):
        waiting.listener.close()
        assert waiting.listener.closed
        assert names_of_threads() == before
    with pytest.raises(ConnectionRefusedError):
        request(waiting.port)


def test_close_from_many_threads_at_once(wait: Wait) -> None:
    closers = [threading.Thread(target=wait.listener.close) for _ in range(8)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(2)
    assert not any(closer.is_alive() for closer in closers)
    assert wait.listener.closed


def test_with_statement_closes() -> None:
    with LoopbackListener(lambda url: DONE) as listener:
        assert not listener.closed
    assert listener.closed


def test_close_inside_on_callback_frees_the_ports_at_once_and_the_page_still_arrives(wait: Wait) -> None:
    free: list[bool] = []

    def finish(url: str) -> Page:
        began = time.monotonic()
        wait.listener.close(after=2)
        free.append(time.monotonic() - began < 0.5)
        bind(socket.AF_INET, "127.0.0.1", wait.port, socket.SO_REUSEADDR)
        bind(socket.AF_INET6, "::1", wait.port, socket.SO_REUSEADDR)
        return DONE

    wait.answer = finish
    answer = request(wait.port)
    assert answer.status == 200
    assert "You are signed in" in answer.body
    assert free == [True]
    wait.listener.close()
    assert not [name for name in names_of_threads() if name.startswith(f"loopback-{wait.port}")]


def test_close_inside_on_callback_without_grace_returns(wait: Wait) -> None:
    wait.answer = lambda url: wait.listener.close() or DONE  # type: ignore[func-returns-value]
    with contextlib.suppress(ConnectionResetError):
        assert (
            exchange(wait.port, f"GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{wait.port}\r\n\r\n".encode()) == b""
        )
    wait.listener.close()
    assert not [name for name in names_of_threads() if name.startswith(f"loopback-{wait.port}")]


def test_close_with_grace_from_outside_waits_for_the_answer_and_not_longer(wait: Wait) -> None:
    began_callback = threading.Event()

    def slow(url: str) -> Page:
        began_callback.set()
        time.sleep(0.5)
        return DONE

    wait.answer = slow
    answers: list[Response] = []
    tab = threading.Thread(target=lambda: answers.append(request(wait.port)))
    tab.start()
    assert began_callback.wait(2)
    began = time.monotonic()
    wait.listener.close(after=5)
    assert 0.3 < time.monotonic() - began < 2
    tab.join(2)
    assert [answer.status for answer in answers] == [200]


def test_close_does_not_wait_for_an_on_callback_that_hangs(wait: Wait) -> None:
    release, began_callback = threading.Event(), threading.Event()

    def hang(url: str) -> Page:
        began_callback.set()
        release.wait(10)
        return DONE

    wait.answer = hang
    tab = threading.Thread(
        target=exchange,
        args=(wait.port, f"GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{wait.port}\r\n\r\n".encode()),
    )
    tab.start()
    assert began_callback.wait(2)
    began = time.monotonic()
    wait.listener.close()
    assert time.monotonic() - began < 2
    with pytest.raises(ConnectionRefusedError):
        request(wait.port)
    release.set()
    tab.join(2)


def test_grace_ends_on_time_when_on_callback_hangs(wait: Wait) -> None:
    release = threading.Event()

    def hang(url: str) -> Page:
        release.wait(10)
        return DONE

    wait.answer = hang
    with socket.create_connection(("127.0.0.1", wait.port), timeout=2) as sock:
        sock.send(f"GET /callback?code=1 HTTP/1.1\r\nHost: 127.0.0.1:{wait.port}\r\n\r\n".encode())
        time.sleep(0.1)
        began = time.monotonic()
        wait.listener.close(after=0.5)
        assert 0.4 < time.monotonic() - began < 2
        assert sock.recv(1) == b""  # cut off, by nothing but the end of the grace
    release.set()


def test_grace_is_not_for_connections_that_ask_nothing(wait: Wait) -> None:
    with socket.create_connection(("127.0.0.1", wait.port), timeout=2) as sock:
        time.sleep(0.1)
        began = time.monotonic()
        wait.listener.close(after=5)
        assert time.monotonic() - began < 1
        assert sock.recv(1) == b""


def test_second_tab_in_the_queue_at_the_close_gets_a_page_and_no_call(wait: Wait) -> None:
    began_callback = threading.Event()

    def finish(url: str) -> Page:
        began_callback.set()
        time.sleep(0.3)  # the second tab comes meanwhile
        wait.listener.close(after=2)
        return DONE

    wait.answer = finish
    statuses: list[int] = []
    first = threading.Thread(target=lambda: statuses.append(request(wait.port, "/callback?code=1").status))
    first.start()
    assert began_callback.wait(2)
    assert request(wait.port, "/callback?code=2").status == 410
    first.join(2)
    assert statuses == [200]
    assert wait.caught == [f"http://127.0.0.1:{wait.port}/callback?code=1"]


def test_hundred_listeners_leave_no_thread_and_no_socket_behind() -> None:
    before = names_of_threads()
    for _ in range(100):
        with LoopbackListener(lambda url: DONE) as listener:
            assert request(listener.port).status == 200
    assert names_of_threads() == before


def test_nothing_is_printed_or_logged(
    wait: Wait, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(0):
        request(wait.port)
        request(wait.port, "/nothing?code=secret")
        request(wait.port, method="POST")
        exchange(wait.port, b"\x16\x03\x01 nonsense\r\n\r\n")
        with socket.create_connection(("127.0.0.1", wait.port)) as sock:
            sock.send(b"GET /callback?code=half")
        wait.listener.close()
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_no_secret_in_any_repr(wait: Wait) -> None:
    seen = io.StringIO()

    def look(url: str) -> Page:
        listener = wait.listener
        print(listener, vars(listener), *listener._connections, file=seen)
        return DONE

    wait.answer = look
    request(wait.port, "/callback?code=topsecret")
    with socket.create_connection(("127.0.0.1", wait.port)) as sock:
        sock.send(b"GET /callback?code=topsecret")
        time.sleep(0.1)
        assert len(wait.listener._connections) == 1
        print(*wait.listener._connections, file=seen)
    print(wait.listener, vars(wait.listener), loopback._Request.parse(b"GET /?topsecret HTTP/1.1"), file=seen)
    assert repr(wait.listener) == f"<LoopbackListener http://127.0.0.1:{wait.port}/callback open>"
    assert "LoopbackListener" in seen.getvalue()
    assert "topsecret" not in seen.getvalue()
    wait.listener.close()
    assert repr(wait.listener).endswith(" closed>")


# --- in Chromium ----------------------------------------------------------------------------------------------------


def test_in_chromium_the_address_bar_loses_the_code_and_the_console_stays_silent(wait: Wait, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    pages = {
        "done": Page("You are signed in", "Go back to the notebook: it goes on by itself.\nYou can close this tab."),
        "problem": Page(
            "Diese Antwort gehört zu einer anderen Anmeldung",
            "Der Link stammt von einer früheren Ausführung der Zelle. Bitte im Notebook den neuesten Link öffnen.",
            ok=False,
            lang="de",
        ),
    }
    wait.answer = lambda url: pages["done" if "code=" in url else "problem"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 600})
            tab = context.new_page()
            trouble: list[str] = []
            tab.on("console", lambda message, seen=trouble: seen.append(message.text))
            tab.on("pageerror", lambda error, seen=trouble: seen.append(str(error)))
            requests: list[str] = []
            tab.on("request", lambda sent, seen=requests: seen.append(sent.url))
            for name, query in (("done", "code=topsecret&state=s"), ("problem", "error=access_denied&state=s")):
                requests.clear()
                tab.goto(f"{wait.listener.redirect_uri}?{query}")
                assert tab.url == wait.listener.redirect_uri
                assert tab.evaluate("location.href") == wait.listener.redirect_uri
                assert requests == [f"{wait.listener.redirect_uri}?{query}"]
                assert tab.get_by_role("status").inner_text().strip().endswith(pages[name].text)
                assert tab.evaluate("getComputedStyle(document.querySelector('main')).borderTopStyle") == "solid"
                tab.screenshot(path=tmp_path / f"{name}-{scheme}.png")
            tab.set_viewport_size({"width": 320, "height": 480})
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            tab.screenshot(path=tmp_path / f"narrow-{scheme}.png")
            assert trouble == []
            context.close()
        browser.close()
    assert len(list(tmp_path.glob("*.png"))) == 6
