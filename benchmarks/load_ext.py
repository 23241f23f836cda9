"""How long `%load_ext lexoffice_nb` takes, beside the imports of three packages that sign in as well.

    make bench

Every figure is the time of that one line in a fresh process over a bare IPython, all installed in one environment
of their own (build/bench); the processes take turns, so that a busy moment of the machine meets all of them.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENV = ROOT / "build" / "bench"
PEERS = ["google-auth-oauthlib", "msal", "huggingface_hub"]
GOAL_MS = 15

CANDIDATES = {
    "%load_ext lexoffice_nb": "shell.run_line_magic('load_ext', 'lexoffice_nb')",
    "import google_auth_oauthlib.flow": "import google_auth_oauthlib.flow",
    "import msal": "import msal",
    "import huggingface_hub": "import huggingface_hub",  # lazy: it only says what it could import
    "… its notebook_login as well": "from huggingface_hub import notebook_login",
}
CHILD = """
import json, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
{line}
print(json.dumps((time.perf_counter() - start) * 1000))
"""


def environment() -> Path:
    """The Python of the benchmark's environment, made when it is missing or older than pyproject.toml."""
    python, stamp = VENV / "bin" / "python", VENV / ".ready"
    pyproject = ROOT / "pyproject.toml"
    if not stamp.exists() or stamp.stat().st_mtime < pyproject.stat().st_mtime:
        print("Installing the peers into build/bench …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--editable", ROOT, *PEERS], check=True)
        stamp.touch()
    return python


def milliseconds(python: Path, line: str) -> float:
    child = subprocess.run([python, "-c", CHILD.format(line=line)], check=True, capture_output=True, text=True)
    return json.loads(child.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="fresh processes for each candidate")
    rounds = parser.parse_args().rounds

    python = environment()
    for line in CANDIDATES.values():
        milliseconds(python, line)  # writes the byte code and warms the disk's cache; not counted
    times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(rounds):
        for name, line in CANDIDATES.items():
            times[name].append(milliseconds(python, line))

    ours, *_ = medians = [statistics.median(values) for values in times.values()]
    print(f"\n{'median of ' + str(rounds) + ' fresh processes':34}{'ms':>8}{'fastest':>9}{'slowest':>9}{'ratio':>9}")
    for (name, values), median in zip(times.items(), medians, strict=True):
        print(f"{name:34}{median:8.1f}{min(values):9.1f}{max(values):9.1f}{median / ours:8.1f}x")
    print(f"\nThe goal is {GOAL_MS} ms: {'reached' if ours <= GOAL_MS else 'missed'}.")


if __name__ == "__main__":
    main()
