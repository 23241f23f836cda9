"""Whether an account gets the full pace that its API allows, without a refusal, beside two other ways to ask.

    make bench                          or: python benchmarks/pacing.py --requests 20

The sandbox, in a process of its own, lets in two requests a second (five at once after a pause), as the vendor does.
Each row is a load of its own, one after the other: each process asks for the profile that many times. Ours is set to
one request in 0.55 s. The plain loop is `requests` with urllib3's Retry and a sleep of 0.5 s after each answer.
PyPI's lexoffice-py sleeps as long by itself; it is pointed at the sandbox through the attribute BASE_URL of its client.
The peers are installed in an environment of their own (build/bench-pacing).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
VENV = ROOT / "build" / "bench-pacing"
PACKAGES = ["requests", "lexoffice-py"]
PROGRAM = ROOT / "benchmarks" / "peers" / "pacing.py"
RATE = 2.0
INTERVAL = 0.55
FULL_SECONDS = 4.0  # after which the bucket is full again
LEAST_PACE = 0.97
NOTE = f"""
`set` is how many requests a second were meant: with us 1/{INTERVAL} for the account, however many processes there are;
else 1/0.5, which is all that the account may have. `pace` is what came of it: good answers a second, from the first
request to the last answer, as a part of that. Refusals are what the sandbox has answered, whether the caller saw
them or not. Each row begins with a full bucket, after the sign-in.
"""


def environment() -> Path:
    """The Python of the peers' environment, made when it is missing or older than this file."""
    python, stamp = VENV / "bin" / "python", VENV / ".ready"
    if not stamp.exists() or stamp.stat().st_mtime < Path(__file__).stat().st_mtime:
        print(f"Installing the peers into {VENV.relative_to(ROOT)} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        stamp.touch()
    return python


class Process:
    """A program that is told lines and says lines of JSON."""

    def __init__(self, *command: object, **variables: str) -> None:
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def tell(self, line: str = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def says(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process has ended with {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said


def serve(folder: Path, life: float) -> None:
    """The sandbox: says where it is, and at each further line which statuses it has sent since the line before."""
    from lexoffice_nb.sandbox import Sandbox, SandboxSettings

    end = threading.Timer(life, os._exit, (3,))
    end.daemon = True
    end.start()
    with Sandbox(data_dir=folder, settings=SandboxSettings(rate_limit=RATE)) as box:
        print(json.dumps({"url": box.url, "key": box.make_api_key()}), flush=True)
        since = 0.0
        for _ in sys.stdin:
            now = time.time()
            sent = Counter(each.status for each in box.requests if since <= each.time < now and "/v1/" in each.path)
            since = now
            print(json.dumps(sent), flush=True)


@dataclass(frozen=True)
class Outcome:
    """What came of a load.

    Attributes:
        seconds: From the first request to the last answer.
        good: How many answers the callers got.
        refusals: How many 429 and 500 the sandbox has sent.
        errors: What reached the callers in place of an answer.
        rate: Requests a second that were meant.
        sleeps_last: Whether the caller sleeps after the last answer as well.
    """

    seconds: float
    good: int
    refusals: int
    errors: Counter[str]
    rate: float
    sleeps_last: bool

    @property
    def pace(self) -> float:
        """The part of the rate that was had: pauses count, and between n requests there are n - 1 of them."""
        return (self.good - (not self.sleeps_last)) / self.seconds / self.rate

    @property
    def is_good(self) -> bool:
        return not self.refusals and not self.errors and self.pace >= LEAST_PACE


class Loads:
    """The loads, one after the other at one sandbox."""

    def __init__(self, box: Process, folder: Path, requests: int, life: float) -> None:
        self._box, self._folder = box, folder
        self._given = {**box.says(), "requests": requests, "interval": INTERVAL, "life": life}
        self._requests = requests

    def run(self, way: str, processes: int, python: Path, rate: float) -> Outcome:
        own = {f"XDG_{name}_HOME": str(self._folder / name.lower()) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(Process(python, PROGRAM, way, **own)) for _ in range(processes)]
            for process in running:
                process.tell(json.dumps(self._given))
                process.says()
            time.sleep(FULL_SECONDS)
            self._sent()
            for process in running:
                process.tell()
            said = [process.says() for process in running]
        sent = self._sent()
        errors = sum((Counter(one["errors"]) for one in said), Counter[str]())
        return Outcome(
            max(one["ended"] for one in said) - min(one["began"] for one in said),
            processes * self._requests - errors.total(),
            sent["429"] + sent["500"],
            errors,
            rate,
            sleeps_last=way != "ours",
        )

    def _sent(self) -> Counter[str]:
        self._box.tell()
        return Counter(self._box.says())


def _row(name: str, processes: int, requests: int, outcome: Outcome) -> None:
    errors = ", ".join(f"{count} {kind}" for kind, count in outcome.errors.most_common(3)) or "–"
    load = f"{processes} x {requests}"
    came = f"{outcome.seconds:9.1f}{outcome.rate:8.2f}/s{outcome.pace:8.1%}{outcome.refusals:10}  {errors}"
    print(f"{name:36}{load:>9}{came}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200, help="of each process; at most 1000 (20: a quick look)")
    requests = min(max(parser.parse_args().requests, 2), 1000)

    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything is on this machine
    peers, life = environment(), 60 + 20 * requests
    ours = Path(sys.executable)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        box = stack.enter_context(Process(sys.executable, __file__, "serve", folder / "box", life))
        loads = Loads(box, folder, requests, life)
        print(f"\n{'':36}{'requests':>9}{'seconds':>9}{'set':>10}{'pace':>8}{'refusals':>10}  errors at the caller")
        reached = []
        for processes in (1, 2):
            outcome = loads.run("ours", processes, ours, 1 / INTERVAL)
            _row(f"lexoffice_nb, {INTERVAL} s", processes, requests, outcome)
            reached.append(outcome.is_good)
        for name, way in {"requests, sleep(0.5), Retry": "plain", "lexoffice-py": "lexoffice_py"}.items():
            for processes in (1, 2):
                _row(name, processes, requests, loads.run(way, processes, peers, RATE))
    print(NOTE)
    print(f"The goal is no refusal, no error, and at least {LEAST_PACE:.0%} of the pace, in one process and in two:")
    print("reached." if all(reached) else "missed.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
