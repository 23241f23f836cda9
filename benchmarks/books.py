"""How long the local books take, how much memory and how many requests, beside DuckDB by hand, pandas and Polars.

    make bench                          or: python benchmarks/books.py --quick --only flatten,reports

Each way of a row is a process of its own, and the ways take turns; times are medians of five. What else the machine
does is in the times, though not in the seconds of the CPU: so the load is printed before and after. All data follow
from numbers, so that they are the same each time, and are checked: sums to the cent, reports against the SQL by hand.
The sandbox of the syncs is on this machine.

Flattening is held against DuckDB by hand over the same file of bodies. Before, the only way by hand read lines of JSON
instead, which is other work: a file 14 times as large, since it is not compressed, by a reader that DuckDB 2.0 lets
round decimals of more than 15 digits, where `from_json` is exact. That way still has a row, without a goal. By hand
DuckDB takes all the memory that it likes, more than the goal allows; our statements have a row with as much, which
tells what they cost from what their bound costs. They keep a record's number, too, sum each file and sync it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import books as peer  # noqa: E402
from benchmarks.peers import invoices  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
LINES = (1_000_000, 10_000_000)
REPORT_ROUNDS = 5
LIFE = 3600.0
PAGE = 250
# The goals.
MOST_OF_DIRECT = 1.1
LEAST_OF_NORMALIZE = 30.0
MOST_MEMORY = 400.0  # MB
MOST_OF_BY_HAND = 1.2
MOST_FOR_CHANGES = 12
MOST_FOR_9900 = 41
MOST_OVER_IDLE = 250.0  # MB
BY_HAND = "flatten-by-hand"
INTERVAL, RATE = 0.55, 2.0
LEAST_PACE = 0.97


def say(text: str = "") -> None:
    print(text, flush=True)


def goal(what: str, is_reached: bool) -> bool:
    say(f"  goal: {what}: {'reached' if is_reached else 'MISSED'}")
    return is_reached


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "load unknown"


class Peers:
    """Runs benchmarks/peers/books.py, with folders of its own in place of the person's."""

    def __init__(self, folder: Path) -> None:
        names = ("DATA", "STATE", "CONFIG", "CACHE")
        own = {f"XDG_{name}_HOME": str(folder / f"user-{name.lower()}") for name in names}
        self.environment = {**os.environ, **own, "PYTHONPATH": str(ROOT)}

    def __call__(self, *arguments: object) -> dict[str, Any]:
        start = [__file__] if arguments[0] == BY_HAND else ["-m", "benchmarks.peers.books"]
        command = [sys.executable, *start, *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=True, text=True, cwd=ROOT)
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said


# --- flattening ---


def flatten_by_hand(folder: Path) -> Callable[[], str]:
    """The bodies by SQL by hand, with typed columns: the same input as ours, the files of `direct`."""
    connection = peer._direct(folder)
    columns = ", ".join(f"{name} {kind}" for name, kind in peer.DIRECT.items())
    [kind] = connection.sql(f"SELECT NULL::STRUCT({columns})").types
    structure = json.dumps(_structure(kind))
    bodies = folder / "raw_documents-000001.parquet"

    def run() -> str:
        read = f"SELECT unnest(from_json(raw, '{structure}')) FROM '{bodies}'"
        connection.execute(f"CREATE TEMP TABLE read AS {read}")
        for table, query in peer.DIRECT_TABLES.items():
            path = folder / f"{table}-direct.parquet"
            connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        return "direct"

    return run


def _structure(kind: Any) -> Any:
    """A type of DuckDB's as `from_json` wants it."""
    if kind.id == "struct":
        return {name: _structure(of) for name, of in kind.children}
    return [_structure(kind.children[0][1])] if kind.id == "list" else str(kind)


def flattening(peers: Peers, folder: Path, quick: bool, normalize_rounds: int) -> list[bool]:
    count = 2_000 if quick else 200_000
    path = folder / "invoices.ndjson"
    totals = invoices.write(path, count)
    say(f"\nFlatten {count:,} invoices, {totals.lines:,} line items, {path.stat().st_size / 1e6:.0f} MB of JSON")
    peers("bodies", folder)
    names = {
        "ours": "lexoffice_nb: its statements",
        "unbounded": "the same, with all memory",
        "rebuild": "lexoffice_nb: a part, with bodies",
        BY_HAND: "DuckDB by hand, typed columns",
        "direct": "DuckDB by hand, of lines of JSON",
        "normalize": "pandas.json_normalize",
    }
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(ROUNDS):
        for way, those in said.items():
            if way != "normalize" or turn < normalize_rounds:
                those.append(peers(way, folder))
    seconds = {way: statistics.median(one["seconds"] for one in those) for way, those in said.items()}
    memory = {way: max(one["peak"] for one in those) for way, those in said.items()}
    say(f"{'':36}{'seconds':>9}{'min–max':>14}{'x hand':>8}{'CPU s':>8}{'peak MB':>9}  to the cent, amounts are")
    for way, name in names.items():
        times = [one["seconds"] for one in said[way]]
        cpu = statistics.median(one["cpu"] for one in said[way])
        span = f"{min(times):.2f}–{max(times):.2f}"
        exact = "yes" if all(one["exact"] for one in said[way]) else "NO"
        say(
            f"{name:36}{seconds[way]:9.2f}{span:>14}{seconds[way] / seconds[BY_HAND]:8.2f}{cpu:8.2f}"
            f"{memory[way]:9.0f}  {exact}, {said[way][0]['type']}"
        )
    if normalize_rounds < ROUNDS:
        say(f"  json_normalize was run {normalize_rounds} x in full, the others {ROUNDS} x.")
    return [
        goal(f"at most {MOST_OF_DIRECT} x DuckDB by hand", seconds["ours"] <= MOST_OF_DIRECT * seconds[BY_HAND]),
        goal("the same with all memory", seconds["unbounded"] <= MOST_OF_DIRECT * seconds[BY_HAND]),
        goal(
            f"at least {LEAST_OF_NORMALIZE:.0f} x faster than json_normalize",
            seconds["normalize"] >= LEAST_OF_NORMALIZE * seconds["ours"],
        ),
        goal(f"peak under {MOST_MEMORY:.0f} MB", max(memory["ours"], memory["rebuild"]) < MOST_MEMORY),
        goal("to the cent", all(one["exact"] for way in ("ours", "rebuild") for one in said[way])),
    ]


# --- reports ---


def reporting(peers: Peers, folder: Path, quick: bool) -> list[bool]:
    reached = []
    for lines in (5_000, 10_000) if quick else LINES:
        books = folder / f"books-{lines}"
        octets = peers("make-books", books, lines)["octets"]
        say(f"\nReports over {lines:,} lines of {lines // 5:,} documents ({octets / 1e6:.0f} MB of Parquet), in ms")
        ways = {"ours": "DuckDB", "by-hand": "SQL by hand", "polars": "Polars", "pandas": "pandas"}
        turns = {way: [peers("report", way, books, REPORT_ROUNDS) for _ in range(2)] for way in ways}
        heads = "".join(f"{head:>14}" for head in ways.values())
        say(f"{'the same functions on …':28}{heads}{'x by hand':>11}{'CPU x':>8}  the same answer")
        for name in turns["ours"][0]["times"]:
            wall = {w: statistics.median(t for one in turns[w] for t, _ in one["times"][name]) for w in ways}
            cpu = {w: statistics.median(c for one in turns[w] for _, c in one["times"][name]) for w in ways}
            is_same = len({json.dumps(one["answers"][name]) for those in turns.values() for one in those}) == 1
            cells = "".join(f"{wall[way] * 1000:14.0f}" for way in ways)
            ratio = wall["ours"] / wall["by-hand"]
            say(f"{name:28}{cells}{ratio:11.2f}{cpu['ours'] / cpu['by-hand']:8.2f}  {'yes' if is_same else 'NO'}")
            reached += [is_same, ratio <= MOST_OF_BY_HAND]
        say(f"{'peak MB':28}" + "".join(f"{max(one['peak'] for one in turns[way]):14.0f}" for way in ways))
        goal(f"each at most {MOST_OF_BY_HAND} x the SQL by hand, the same answers", all(reached[-6:]))
        shutil.rmtree(books)
    say("  Polars scans the same files; pandas has read them before, which is not in its times.")
    return reached


# --- requests ---


def serve(folder: Path, extra: int, rate: float) -> None:
    """The sandbox in a process of its own: says where it is, and at each further line when each request came."""
    from lexoffice_nb.sandbox import Sandbox, SandboxSettings

    end = threading.Timer(LIFE, os._exit, (3,))
    end.daemon = True
    end.start()
    with Sandbox(data_dir=folder, settings=SandboxSettings(extra_vouchers=extra, rate_limit=rate or None)) as box:
        rows = len(box.voucher_rows["demo"])
        print(json.dumps({"url": box.url, "key": box.make_api_key(), "rows": rows}), flush=True)
        for line in sys.stdin:
            if ids := line.split():
                for each in ids:
                    box.voucher_rows["demo"].change_status(each, "open")
                print(json.dumps(len(ids)), flush=True)
                continue
            asked = [(each.path, each.time, each.status) for each in box.requests if each.path.startswith("/v1/")]
            print(json.dumps(asked), flush=True)


class Box:
    """A sandbox elsewhere."""

    def __init__(self, folder: Path, vouchers: int, rate: float = 0.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(folder), str(vouchers), str(rate)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.given = {**self._said(), "interval": 0.0}

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def _said(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the sandbox has ended")
        return json.loads(line)

    def _tell(self, line: str = "") -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._said()

    def requests(self) -> list[tuple[str, float, int]]:
        """The path, the time and the status of each request to the API, if there were not too many."""
        return [(str(path), float(moment), int(status)) for path, moment, status in self._tell()]

    def change(self, ids: list[str]) -> None:
        self._tell(" ".join(ids))


def _extra(folder: Path, vouchers: int) -> int:
    """How many vouchers are missing to that many: the drawn books have a few hundred."""
    with Box(folder, 0) as box:
        return max(0, vouchers - box.given["rows"])


def counting(peers: Peers, folder: Path, quick: bool) -> list[bool]:
    cold, many, changed = (600, 900, 10) if quick else (9_900, 12_345, 10)
    say("\nRequests")
    reached = []
    box_folder = folder / "box-cold"  # a sandbox keeps its address, by which the books are kept: each has its own
    with Box(box_folder, _extra(box_folder, cold)) as box:
        before = len(box.requests())
        done = peers("list-step", json.dumps(box.given))
        asked = [path for path, _, _ in box.requests()[before:]].count("/v1/voucherlist")
        say(f"  the list of {done['vouchers']:,} vouchers the first time: {asked}")
        reached.append(goal(f"at most {MOST_FOR_9900}", asked <= MOST_FOR_9900 and done["vouchers"] == cold))
    box_folder = folder / "box-changed"
    with Box(box_folder, _extra(box_folder, 900 if quick else 10_400)) as box:
        ids = peers("fill", json.dumps(box.given))
        box.change(ids["paid"][:changed])
        before = len(box.requests())
        done = peers("increment", json.dumps(box.given))
        asked = [path for path, _, _ in box.requests()[before:] if path not in ("/v1/contacts", "/v1/profile")]
        say(f"  {done['vouchers']:,} vouchers, of which {changed} changed: {len(asked)}")
        reached.append(goal(f"at most {MOST_FOR_CHANGES}", len(asked) <= MOST_FOR_CHANGES and done["read"] == changed))
    box_folder = folder / "box-many"
    with Box(box_folder, _extra(box_folder, many)) as box:
        before = len(box.requests())
        done = peers("list-step", json.dumps(box.given))
        asked = [path for path, _, _ in box.requests()[before:]].count("/v1/voucherlist")
        pages, splits = -(-many // PAGE), many // 10_000
        say(f"  the list of {done['vouchers']:,} vouchers: {asked}, {pages} pages and {splits} splits")
        most = pages + 3 * splits + 1  # the last page of the part before the split may be a short one
        reached.append(goal(f"at most {most}", asked <= most and done["vouchers"] == many))
    return reached


# --- memory ---


def memory(peers: Peers, folder: Path, quick: bool, vouchers: int) -> list[bool]:
    """The list step of many vouchers, in a kernel's process."""
    count = 2_000 if quick else vouchers
    box_folder = folder / "large-box"
    with Box(box_folder, count) as box:
        say(f"\nThe list step of {box.given['rows']:,} vouchers, pacing off")
        done = peers("kernel-list-step", json.dumps(box.given))
    over = done["peak"] - done["idle"]
    say(
        f"  {done['seconds']:.0f} s, {done['vouchers'] / done['seconds']:,.0f} vouchers a second; an idle kernel has "
        f"{done['idle']:.0f} MB, at most it had {done['peak']:.0f} MB: {over:.0f} MB more"
    )
    return [goal(f"at most {MOST_OVER_IDLE:.0f} MB over the idle kernel", over < MOST_OVER_IDLE)]


# --- pace ---


def pace(peers: Peers, folder: Path, quick: bool, requests: int) -> list[bool]:
    count = 8 if quick else requests
    with Box(folder / "paced-box", 0, RATE) as box:
        time.sleep(5.0 if not quick else 0.0)  # the bucket is full again
        before = len(box.requests())
        peers("requests", json.dumps(box.given | {"interval": INTERVAL, "requests": count}))
        asked = box.requests()[before:]
    # What the sign-in asks comes before; from the list on all goes at one pace.
    asked = asked[[path for path, _, _ in asked].index("/v1/voucherlist") :]
    times = [moment for _, moment, _ in asked[:-1]]  # the last may be one that was under way at the stop
    reached = (len(times) - 1) / (times[-1] - times[0]) * INTERVAL
    refused = sum(status in (429, 500) for _, _, status in asked)
    say(
        f"\nA cold sync at one request in {INTERVAL} s, {len(asked)} requests:"
        f" {reached:.1%} of the pace, {refused} refused"
    )
    return [goal(f"at least {LEAST_PACE:.0%}", reached >= LEAST_PACE and not refused)]


def main(arguments: list[str] | None = None) -> list[bool]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small numbers; the goals mean nothing then")
    parser.add_argument("--only", default="flatten,reports,requests,memory,pace", help="some of these")
    parser.add_argument("--requests", type=int, default=100, help="of the cold sync (100)")
    parser.add_argument("--vouchers", type=int, default=1_000_000, help="of the list step (1000000)")
    parser.add_argument("--normalize", type=int, default=ROUNDS, help=f"how often json_normalize is run ({ROUNDS})")
    given = parser.parse_args(arguments)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything is on this machine
    reached: list[bool] = []
    say(f"{load()}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peers = Peers(folder)
        parts: dict[str, Callable[[], list[bool]]] = {
            "flatten": lambda: flattening(peers, folder, given.quick, 1 if given.quick else given.normalize),
            "reports": lambda: reporting(peers, folder, given.quick),
            "requests": lambda: counting(peers, folder, given.quick),
            "memory": lambda: memory(peers, folder, given.quick, given.vouchers),
            "pace": lambda: pace(peers, folder, given.quick, max(given.requests, 4)),
        }
        for name in given.only.split(","):
            reached += parts[name]()
    say(f"\n{load()}; {sum(reached)} of {len(reached)} goals reached.")
    return reached


if __name__ == "__main__":
    if sys.argv[1:2] == [BY_HAND]:
        print(json.dumps(peer.timed(flatten_by_hand, Path(sys.argv[2]))), flush=True)
    elif sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
