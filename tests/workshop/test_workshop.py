"""The workshop as a learner meets it: what can go wrong, what it shows, and what it leaves behind."""

from __future__ import annotations

import functools
import gc
import http.client
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

import lexoffice_nb
from lexoffice_nb.sandbox import process
from lexoffice_nb.workshop.leaks import Leak
from lexoffice_nb.workshop.listener import Listener
from lexoffice_nb.workshop.words import PortTaken, WorkshopError
from lexoffice_nb.workshop.workshop import Workshop
from lexoffice_nb.workshop.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lexoffice_nb.workshop.scene import Exercise


def code_of(error: pytest.ExceptionInfo[WorkshopError]) -> str:
    lines = error.value._render_traceback_()
    assert len(lines) == 2
    assert all("\n" not in line for line in lines)
    return error.value.code


class TestThePublicName:
    def test_is_the_package(self) -> None:
        from lexoffice_nb import workshop

        assert workshop is lexoffice_nb.workshop
        for name in ("exercise", "defence", "check", "hint", "solution", "progress"):
            assert callable(getattr(workshop, name))

    def test_is_not_loaded_with_the_extension(self) -> None:
        program = (
            "import sys, lexoffice_nb\nfrom IPython.core.interactiveshell import InteractiveShell\n"
            "lexoffice_nb.load_ipython_extension(InteractiveShell.instance())\n"
            "print([name for name in sys.modules if name.startswith('lexoffice_nb.workshop')])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    def test_loads_no_web_server_into_the_kernel(self) -> None:
        program = (
            "import sys\nfrom lexoffice_nb import workshop\n"
            "from lexoffice_nb.workshop import scene, world, listener\n"
            "print([name for name in ('flask', 'authlib', 'werkzeug') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    def test_starts_nothing_before_an_exercise_begins(self, tmp_path: Path) -> None:
        world = World(tmp_path / "data")
        learner = Workshop(world)
        learner.hint(1)
        learner.solution(1)
        learner.progress()
        with pytest.raises(WorkshopError):
            learner.check(1)
        assert world.running() is None
        assert not world.folder.exists()


class TestBadInput:
    @pytest.mark.parametrize("number", [0, 11, -1, 1.0, "1", None, True, 10**30, [1]])
    @pytest.mark.parametrize("ask", ["exercise", "defence", "check", "hint", "solution"])
    def test_an_unknown_number_is_two_lines(self, workshop: Workshop, ask: str, number: object) -> None:
        with pytest.raises(WorkshopError) as error:
            getattr(workshop, ask)(number)
        assert code_of(error) == "no_such_exercise"

    def test_a_check_before_the_exercise_is_two_lines(self, workshop: Workshop) -> None:
        workshop.exercise(1)
        with pytest.raises(WorkshopError) as error:
            workshop.check(2)
        assert code_of(error) == "not_begun"

    def test_an_exercise_that_is_over_says_so(self, workshop: Workshop) -> None:
        old = workshop.exercise(1)
        workshop.exercise(2)
        uses: list[Callable[[], object]] = [
            old.leaks,
            old.victim.signs_in,
            old.victim.uses_app,
            lambda: old.victim.opens(old.app),
            old.attacker.listen,
            lambda: old.attacker.sign_in(old.app),
        ]
        for use in uses:
            with pytest.raises(WorkshopError) as error:
                use()
            assert code_of(error) == "moved_on"

    @pytest.mark.parametrize("url", ["https://example.org/", "http://10.0.0.1/", "file:///etc/passwd", "", "nonsense"])
    def test_the_victim_opens_no_link_that_leads_off_this_machine(self, workshop: Workshop, url: str) -> None:
        exercise = workshop.exercise(1)
        with pytest.raises(WorkshopError) as error:
            exercise.victim.opens(url)
        assert code_of(error) == "refused"

    @pytest.mark.parametrize("url", [b"x", None, 1, ["http://127.0.0.1/"]])
    def test_what_is_no_link_is_two_lines(self, workshop: Workshop, url: str) -> None:
        exercise = workshop.exercise(4)
        for use in (exercise.victim.opens, exercise.attacker.sign_in):
            with pytest.raises(WorkshopError) as error:
                use(url)
            assert code_of(error) == "no_link"

    def test_a_leak_that_is_not_there_is_two_lines(self, workshop: Workshop) -> None:
        exercise = workshop.exercise(1)
        with pytest.raises(WorkshopError) as error:
            exercise.leaks()["callback_url"]
        assert code_of(error) == "no_leak"

    def test_a_parameter_that_is_not_there_is_two_lines_that_name_the_others(self) -> None:
        with pytest.raises(WorkshopError) as error:
            Leak("callback_url", "proxy log", "http://127.0.0.1:1/callback?code=SECRET&state=SECRET")["cod"]
        assert code_of(error) == "no_parameter"
        assert "code, state" in str(error.value)
        assert "SECRET" not in str(error.value)

    def test_a_sign_in_that_leads_nowhere_is_two_lines(self, workshop: Workshop) -> None:
        exercise = workshop.exercise(4)
        nowhere = ("http://127.0.0.1:1/", "nonsense", "http://[", "http://127.0.0.1:99999999/", "http://\ud800/")
        for url in (exercise.app, f"{exercise.issuer}/connect/authorize", *nowhere):
            with pytest.raises(WorkshopError) as error:
                exercise.attacker.sign_in(url)
            assert code_of(error) == "no_sign_in"

    def test_a_sign_in_that_is_redirected_to_what_is_no_url_is_two_lines(self, workshop: Workshop) -> None:
        exercise = workshop.exercise(4)
        with socket.create_server(("127.0.0.1", 0)) as server:
            answers = threading.Thread(target=self.redirect, args=(server,))
            answers.start()
            with pytest.raises(WorkshopError) as error:
                exercise.attacker.sign_in(f"http://127.0.0.1:{server.getsockname()[1]}/")
            answers.join(5)
        assert code_of(error) == "no_sign_in"

    @staticmethod
    def redirect(server: socket.socket) -> None:
        server.settimeout(5)
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 303 See Other\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n")

    def test_a_machine_without_the_second_loopback_address_is_told_so(
        self, workshop: Workshop, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from dataclasses import replace

        state = replace(world.state(), unavailable=(8,))
        monkeypatch.setattr(world, "state", lambda: state)
        with pytest.raises(WorkshopError) as error:
            workshop.exercise(8)
        assert code_of(error) == "unavailable"


class TestHints:
    def test_come_one_after_the_other_and_the_last_one_stays(self, workshop: Workshop) -> None:
        assert [workshop.hint(1).which for _ in range(5)] == [1, 2, 3, 3, 3]
        assert workshop.hint(2).which == 1


def bind(server: socket.socket, port: int | None) -> None:
    deadline = time.monotonic() + 5
    while True:  # the system may take a moment to free it
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


class TestAProcessThatDied:
    def test_is_started_again_and_said_in_two_lines(self, own: Workshop) -> None:
        exercise = own.exercise(1)
        own.solution(1).attack(exercise)
        own.check(1)
        exercise = own.exercise(2)
        self.kill(own)
        with pytest.raises(WorkshopError) as error:
            exercise.victim.signs_in()
        assert code_of(error) == "restarted"
        assert "exercise(2)" in error.value.next()
        assert own._world.running() is not None
        with pytest.raises(WorkshopError) as error:
            own.check(2)
        assert code_of(error) == "restarted"
        assert own.check(1).off.done  # what was seen before is remembered
        own.solution(2).attack(own.exercise(2))
        assert own.check(2).off.done

    def test_in_the_middle_of_what_the_victim_does_is_said_in_two_lines(self, own: Workshop) -> None:
        exercise = own.exercise(10)  # here each token request takes half a second
        timer = threading.Timer(0.3, self.kill, [own])
        timer.start()
        with pytest.raises(WorkshopError) as error:
            exercise.victim.signs_in()
        timer.join()
        assert code_of(error) == "restarted"

    def test_is_started_again_by_the_next_exercise_without_a_word(self, own: Workshop) -> None:
        own.exercise(1)
        self.kill(own)
        assert own.exercise(2).number == 2

    @staticmethod
    def kill(learner: Workshop) -> None:
        pid = learner._world.running()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while learner._world.running() is not None:
            time.sleep(0.01)

    def test_shows_its_key_to_nobody_who_took_its_port(self, own: Workshop) -> None:
        exercise = own.exercise(1)
        port = urlsplit(exercise.issuer).port
        self.kill(own)
        heard: list[bytes] = []
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bind(taken, port)
            taken.listen()
            thread = threading.Thread(target=self.listen_in, args=(taken, heard))
            thread.start()
            with pytest.raises(WorkshopError) as error:
                exercise.leaks()
            taken.shutdown(socket.SHUT_RDWR)
            thread.join(5)
        assert code_of(error) == "restarted"
        assert b"Bearer" not in b"".join(heard)

    @staticmethod
    def listen_in(server: socket.socket, heard: list[bytes]) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{}")


def test_a_sandbox_that_cannot_be_started_is_two_lines(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("not a folder")
    with pytest.raises(WorkshopError) as error:
        Workshop(World(in_the_way)).exercise(1)
    assert code_of(error) == "no_start"


def test_a_kernel_that_was_restarted_takes_up_what_goes_on(workshop: Workshop, world: World) -> None:
    workshop.solution(1).attack(workshop.exercise(1))
    assert Workshop(world).check(1).off.done


def test_what_another_notebook_does_does_not_count(workshop: Workshop, world: World) -> None:
    workshop.exercise(1).victim.signs_in()
    other = Workshop(world)
    other.solution(1).attack(other.exercise(1))
    assert [tick.done for tick in workshop.check(1).off.ticks] == [True, True, False, False]
    assert [tick.done for tick in workshop.check(1).off.ticks] == [True, True, False, False]  # and for good
    assert other.check(1).off.done


class TestTheListener:
    @pytest.fixture
    def listener(self) -> Iterator[Listener]:
        listener = Listener()
        yield listener
        listener.close()

    def test_catches_a_request_and_closes(self, listener: Listener) -> None:
        assert requests.get(f"{listener.url}/?code=SECRET", timeout=5).ok
        caught = listener.wait(5)
        assert caught is not None
        assert caught["code"] == "SECRET"
        assert caught.value == f"{listener.url}/?code=SECRET"
        assert "SECRET" not in repr(caught)
        self.is_closed(listener)

    def test_says_in_two_lines_that_nothing_came_and_closes(self, listener: Listener) -> None:
        with pytest.raises(TimeoutError) as caught:
            listener.wait(0.1)
        assert caught.value._render_traceback_() == [  # type: ignore[attr-defined]
            f"NothingCame: Nothing came to the listener at {listener.url} in 0.1 s.",
            "→ Did Erika act before you waited? With the defence on this may be the defence at work; "
            "workshop.check(…) tells.",
        ]
        self.is_closed(listener)

    def test_closes_at_an_interrupt(self, listener: Listener) -> None:
        timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            listener.wait(30)
        timer.join()
        self.is_closed(listener)

    def test_closes_when_its_time_is_over(self) -> None:
        listener = Listener(life=0.1)
        listener._thread.join(5)
        self.is_closed(listener)

    def test_closes_when_the_next_exercise_begins(self, workshop: Workshop) -> None:
        listener = workshop.exercise(7).attacker.listen()
        workshop.exercise(8)
        self.is_closed(listener)

    def test_serves_while_an_idle_connection_is_open(self, listener: Listener) -> None:
        address = ("127.0.0.1", urlsplit(listener.url).port)
        with socket.create_connection(address), socket.create_connection(address):
            assert requests.get(f"{listener.url}/?code=x", timeout=2).ok

    def test_says_who_holds_a_port(self, listener: Listener) -> None:
        with pytest.raises(PortTaken) as error:
            Listener(port=urlsplit(listener.url).port or 0)
        assert code_of(error) == "port_taken"
        assert "some program" in str(error.value)
        assert isinstance(error.value, OSError)

    def test_recognises_the_app(self, workshop: Workshop) -> None:
        exercise = workshop.exercise(8, defence=True)
        with pytest.raises(PortTaken, match="Belegheft"):
            exercise.attacker.listen("::1", urlsplit(exercise.app).port or 0)

    @pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "", "::", "192.0.2.1", None])
    def test_listens_on_this_machine_only(self, host: str) -> None:
        with pytest.raises(WorkshopError) as error:
            Listener(host)
        assert code_of(error) == "no_listener"

    @pytest.mark.parametrize("port", [-1, 70000, "x", None])
    def test_a_port_that_is_none_is_two_lines(self, port: int) -> None:
        with pytest.raises(WorkshopError) as error:
            Listener(port=port)
        assert code_of(error) == "no_listener"

    @staticmethod
    def is_closed(listener: Listener) -> None:
        assert listener.closed
        assert "closed" in repr(listener)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", urlsplit(listener.url).port), timeout=1)


@pytest.mark.parametrize("shielded_twice", [True, False])
def test_an_interrupt_while_the_victim_acts_leaves_nothing_open_and_no_key_to_see(
    workshop: Workshop, world: World, shielded_twice: bool
) -> None:
    exercise = workshop.exercise(10)  # here each token request takes half a second
    sign_in = exercise.victim.signs_in if shielded_twice else lambda: world.victim(do="sign_in")
    timer = threading.Timer(0.25, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as interrupt:
        sign_in()
    timer.join()
    shown = [str(frame.f_locals) for frame in frames(interrupt.tb)]
    assert not any("Bearer" in text for text in shown)
    del interrupt, shown
    gc.collect()  # a connection left open would be a warning, which is an error here
    assert exercise.victim.signs_in().status in (200, None)


def frames(traceback: object) -> Iterator[object]:
    while traceback is not None:
        yield traceback.tb_frame  # type: ignore[attr-defined]
        traceback = traceback.tb_next  # type: ignore[attr-defined]


SECRETS = {"code", "state", "code_verifier", "code_challenge", "iss", "redirect_uri", "nonce"}


def shown_of(thing: object) -> str:
    html = getattr(thing, "_repr_html_", lambda: "")()
    return "\n".join([repr(thing), str(thing), f"{thing}", html])


def secrets_of(*leaks: Leak | None) -> set[str]:
    found = set()
    for leak in leaks:
        assert leak is not None
        value = leak.value
        query = urlsplit(value).query or value
        found |= {each for name, each in parse_qsl(query) if name in SECRETS - {"iss", "redirect_uri"}}
    assert found
    return found


def test_nothing_that_is_shown_holds_a_secret(workshop: Workshop) -> None:
    """`.value` and a name in brackets give one on purpose; a repr, a str or HTML never does."""
    exercise: Exercise = workshop.exercise(3)
    visits = [exercise.victim.signs_in(), exercise.victim.uses_app()]
    leaks = exercise.leaks()
    login = requests.get(f"{exercise.app}/login", allow_redirects=False, timeout=10)
    mine = exercise.attacker.sign_in(login.headers["Location"])
    listener = exercise.attacker.listen()
    visits.append(exercise.victim.opens(f"{listener.url}/cb?{urlencode({'code': 'c' * 43, 'state': 's' * 43})}"))
    caught = listener.wait(5)
    workshop.solution(3).attack(exercise)
    things = [exercise, leaks, *leaks, leaks[:1], *visits, mine, listener, caught, exercise.victim, exercise.attacker]
    things += [workshop.check(3), workshop.hint(3), workshop.solution(3), workshop.progress()]
    shown = "\n".join(map(shown_of, things))
    for secret in secrets_of(*leaks, mine, caught):
        assert secret not in shown
        assert secret.encode() not in shown.encode()

    exercise = workshop.exercise(9)
    workshop.solution(9).attack(exercise)
    leaks = exercise.leaks()
    assert leaks["token_request"]["code_verifier"]
    shown = "\n".join(map(shown_of, [leaks, *leaks, exercise, workshop.check(9)]))
    for secret in secrets_of(*leaks):
        assert secret not in shown


@pytest.mark.parametrize(
    "value",
    [
        "http://[SECRETS",
        "http://user:SECRETSECRETSECRETSECRETSECRET@127.0.0.1:1/SECRETSECRETSECRETSECRETSECRET?x=SECRETS#SECRETS",
        "http://127.0.0.1:1/callback?client_id=SECRETSECRETSECRETSECRETSECRET",
        "code=SECRETS&grant_type=SECRETSECRETSECRETSECRETSECRET",
        "SECRETS",
    ],
)
def test_a_leak_of_any_shape_is_masked(value: str) -> None:
    leak = Leak("callback_url", "proxy log", value)
    assert "SECRETS" not in shown_of(leak)
    assert leak.value == value


def test_a_leak_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Leak("callback_url", "proxy log", "http://127.0.0.1:1/?code=SECRET"))


def test_a_proxy_of_the_environment_is_pointed_out(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NO_PROXY" not in repr(workshop.exercise(1))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    exercise = workshop.exercise(1)  # the workshop itself needs no advice
    assert "NO_PROXY" in repr(exercise)
    assert exercise.victim.signs_in()


def test_the_workshop_never_meets_the_usual_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert World().folder != process.data_dir()
    assert World().folder.name == "workshop"


def test_both_halves_of_a_fresh_exercise_are_in_the_progress(workshop: Workshop) -> None:
    workshop.exercise(1)
    line = next(line for line in repr(workshop.progress()).splitlines() if "The stolen code" in line)
    assert "defence off: begun" in line
    assert "defence on: not begun" in line


@pytest.mark.parametrize("part", ["{}/", "a/{}", "a?scope={}", "a?error={}", "a?" + "&".join(["{0}=1"] * 50)])
@pytest.mark.parametrize("text", ["word " * 100, "\u202e\u2066olleh", "\x1b[2J\r\n"])
def test_what_a_leak_shows_is_short_and_printable_whatever_was_sent(part: str, text: str) -> None:
    shown = repr(Leak("callback_url", "proxy log", f"http://127.0.0.1:1/{part.format(text)}"))
    assert len(shown) < 500
    assert shown.isprintable()


def test_a_leak_of_an_evil_host_is_short_and_printable() -> None:
    shown = repr(Leak("callback_url", "proxy log", "http://" + "\u202ex y" * 100 + "/"))
    assert len(shown) < 200
    assert shown.isprintable()


def test_a_debug_level_of_http_client_prints_no_key_and_no_leak(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exercise = workshop.exercise(3)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    exercise.victim.signs_in()
    leaks = exercise.leaks()
    with pytest.raises(PortTaken):
        exercise.attacker.listen(port=urlsplit(exercise.app).port or 0)
    printed = capsys.readouterr().out
    assert "Bearer" not in printed
    assert [secret for secret in secrets_of(*leaks) if secret in printed] == []


def seen_in(error: pytest.ExceptionInfo[BaseException]) -> str:
    """What a verbose traceback would show below the test itself."""
    return "\n".join(str(frame.f_locals) for frame in list(frames(error.tb))[1:])  # type: ignore[attr-defined]


def test_no_traceback_holds_a_url_that_is_secret(workshop: Workshop, world: World) -> None:
    exercise = workshop.exercise(1)
    url = "http://10.0.0.1/?code=SECRET"
    leak = Leak("callback_url", "proxy log", url)
    uses: list[Callable[[], object]] = [
        lambda: exercise.victim.opens(leak),
        functools.partial(exercise.victim.opens, url),
        functools.partial(world.victim, do="open", url=url),
        lambda: leak["nothing"],
    ]
    for use in uses:
        with pytest.raises(WorkshopError) as error:
            use()
        assert "SECRET" not in seen_in(error)


@pytest.mark.parametrize("ask", ["leaks", "running"])
def test_an_interrupt_leaves_no_frame_of_who_asks_the_sandbox(
    workshop: Workshop, world: World, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    workshop.exercise(1)

    def interrupted(*_: object, **__: object) -> None:
        secret = "SECRET"  # as the key, or a leak, in a frame of its own
        raise KeyboardInterrupt(secret and None)

    monkeypatch.setattr(requests, "Session", interrupted)
    monkeypatch.setattr(process, "find", interrupted)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        getattr(world, ask)()
    assert "SECRET" not in seen_in(interrupt)
    assert {frame.f_globals["__name__"] for frame in list(frames(interrupt.tb))[1:]} == {"lexoffice_nb.errors"}  # type: ignore[attr-defined]


class TestWhatTheSandboxAnswers:
    @pytest.mark.parametrize(
        ("status", "body", "code"),
        [
            (400, b'{"error": "not_loopback"}', "refused"),
            (403, b'{"error": "forbidden"}', "refused"),
            (404, b"<!doctype html>", "not_workshop"),
            (500, b"<!doctype html>", "broken"),
            (503, b'{"error": "no_port"}', "no_port"),
            (507, b'{"error": "cannot_write"}', "no_room"),
            (200, b"nonsense", "refused"),
        ],
    )
    def test_has_words_of_its_own(self, world: World, status: int, body: bytes, code: str) -> None:
        answer = requests.Response()
        answer.status_code, answer._content = status, body
        with pytest.raises(WorkshopError) as error:
            world._read(answer)
        assert code_of(error) == code

    def test_when_it_is_another_sandbox_is_said(self, tmp_path: Path) -> None:
        process.find_or_start(folder=tmp_path / "data")
        try:
            with pytest.raises(WorkshopError) as error:
                Workshop(World(tmp_path / "data")).exercise(1)
            assert code_of(error) == "not_workshop"
        finally:
            process.stop(folder=tmp_path / "data")

    def test_when_it_has_no_room_is_said_and_the_exercise_before_goes_on(self, own: Workshop) -> None:
        resource = pytest.importorskip("resource")
        if not hasattr(resource, "prlimit"):
            pytest.skip("only Linux can limit another process")
        before = own.exercise(1)
        pid = own._world.running()
        assert pid is not None
        usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, usual[1]))
        with pytest.raises(WorkshopError) as error:
            own.exercise(2)
        assert code_of(error) == "no_room"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)
        before.victim.signs_in()
        assert own.exercise(2).number == 2


def test_a_log_that_has_lost_the_beginning_of_a_round_is_called_so(
    workshop: Workshop, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.exercise(1).victim.signs_in()
    whole = world.journal
    monkeypatch.setattr(world, "journal", lambda since: whole(since)[2:])  # it keeps ten thousand, too many for a test
    verdict = workshop.check(1)
    assert verdict.off.notes == ("log_is_cut",)
    assert "workshop.exercise(1)" in repr(verdict)
