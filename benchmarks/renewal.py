"""Whether a sign-in survives many threads and processes where refresh tokens rotate, beside four other packages.

    make bench                          or: python benchmarks/renewal.py --seconds 30

The certified provider of the tests (npm `oidc-provider`, clock tolerance 0) and the sandbox give access tokens for two
seconds, and end a sign-in whose refresh token comes a second time. Every row is a load of its own on a sign-in of its
own, one after the other at the same server; who renewed how often is what the server has counted. The packages are
installed in one environment of their own (build/bench-renewal).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the providers are those of the tests

from lexoffice_nb.oauth.login import LexofficeLogin  # noqa: E402
from lexoffice_nb.oauth.provider import Provider  # noqa: E402
from lexoffice_nb.sandbox import Sandbox, SandboxSettings  # noqa: E402
from lexoffice_nb.sandbox.person import sign_in  # noqa: E402
from tests.certified.person import Person  # noqa: E402
from tests.certified.server import POST, PUBLIC, Certified  # noqa: E402
from tests.soak_renewal.load import PAUSE_SECONDS, CountAtCertified, CountAtSandbox, Outcome, measure, run_load  # noqa: E402
from tests.soak_renewal.processes import CALLBACK, Place, Process  # noqa: E402

if TYPE_CHECKING:
    from tests.soak_renewal.load import Count

VENV = ROOT / "build" / "bench-renewal"
PEERS = {
    "Authlib": "authlib",
    "requests-oauthlib": "requests_oauthlib",
    "requests_oauth2client": "requests_oauth2client",
    "google-auth": "google_auth",
}
PACKAGES = ["Authlib", "requests-oauthlib", "requests_oauth2client", "google-auth[requests]"]
LIFE = 2
GOOGLE_LIFE = 240  # google-auth renews 225 seconds before the end, which nobody can set
PROCESSES, THREADS = 4, 8
NOTE = f"""
Each thread waits {PAUSE_SECONDS * 1000:.0f} ms between two requests. `renewals` and `reused` (refresh tokens that
came a second time) are the server's own count; `most` is seconds / (0.75 x life) + 2. google-auth renews from
225 s before the end on, so with tokens of {LIFE} s before each request; its second row has tokens of {GOOGLE_LIFE} s.
"""


def environment() -> Path:
    """The Python of the packages' environment, made when it is missing or older than pyproject.toml."""
    python, stamp = VENV / "bin" / "python", VENV / ".ready"
    pyproject = ROOT / "pyproject.toml"
    if not stamp.exists() or stamp.stat().st_mtime < pyproject.stat().st_mtime:
        print(f"Installing the peers into {VENV.relative_to(ROOT)} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--editable", ROOT, *PACKAGES], check=True)
        stamp.touch()
    return python


class Runs:
    """The loads, one after the other."""

    def __init__(self, python: Path, seconds: float, folder: Path) -> None:
        self._python, self._seconds, self._folder = str(python), seconds, folder

    def ours_at_certified(self, server: Certified, processes: int) -> Outcome:
        folder = self._folder / f"certified-{processes}"
        place = Place(server.issuer, str(folder), "/me", api=server.issuer)
        with Person() as person:
            place.sign_in(person.allow)
        return self._ours(place, CountAtCertified(server), processes)

    def ours_at_sandbox(self, box: Sandbox) -> Outcome:
        place = Place(box.url, str(self._folder / "sandbox"), "/v1/profile")
        place.sign_in(sign_in)
        return self._ours(place, CountAtSandbox(box), PROCESSES)

    def _ours(self, place: Place, count: Count, processes: int) -> Outcome:
        size = {"processes": processes, "threads": THREADS, "seconds": self._seconds}
        return run_load(place, count, life=LIFE, python=self._python, **size)

    def peer(self, module: str, server: Certified, life: float) -> Outcome:
        given = _signed_in(server, POST if module == "google_auth" else PUBLIC, life)
        place = Place(server.issuer, "", "/me", api=server.issuer)
        options = {"threads": THREADS, "seconds": self._seconds, "pause": PAUSE_SECONDS}
        with Process(module, place, self._python, "benchmarks.peers.renewing", **options) as process:
            process.tell(json.dumps(given))
            return measure([process], CountAtCertified(server), self._seconds, min(life, LIFE))


def _signed_in(server: Certified, client_id: str, life: float) -> dict[str, Any]:
    """A sign-in of a peer's own, as what its documentation has one keep."""
    secret = server.client_secret if client_id == POST else None
    settings = {"client_authentication": "client_secret_post"} if secret else {}
    provider = Provider.discover(server.issuer, **settings)
    attempt = LexofficeLogin(client_id, CALLBACK, ("openid", "profile"), provider, client_secret=secret)
    with Person() as person:
        tokens = attempt.handle_callback(person.allow(attempt.get_login_url()))
    assert tokens.refresh_token is not None
    assert tokens.expires_at is not None
    return {
        "client_id": client_id,
        "client_secret": secret,
        "token_endpoint": provider.token_endpoint,
        "life": life,
        "token": {
            "token_type": "Bearer",
            "access_token": tokens.access_token.reveal(),
            "refresh_token": tokens.refresh_token.reveal(),
            "expires_at": tokens.expires_at.timestamp(),
            "expires_in": life,
        },
    }


def _row(name: str, load: str, outcome: Outcome, life: float) -> None:
    errors = ", ".join(f"{count} {code}" for code, count in outcome.errors.most_common(3)) or "–"
    print(
        f"{name:24}{load:>7}{outcome.ok:9}{outcome.errors.total():8}{outcome.renewals:10}"
        f"{outcome.most_renewals(life):6.0f}{outcome.reused:8}{'yes' if outcome.signed_in else 'no':>11}  {errors}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of each load; at most 120")
    seconds = min(parser.parse_args().seconds, 120)

    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # everything is on this machine
    python = environment()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(Certified(access_token_seconds=LIFE, life_seconds=3600))
        longer = stack.enter_context(Certified(access_token_seconds=GOOGLE_LIFE, life_seconds=3600))
        box = stack.enter_context(Sandbox(data_dir=folder / "box", settings=SandboxSettings(access_token_life=LIFE)))
        runs = Runs(python, seconds, folder)

        headings = f"{'ok':>9}{'errors':>8}{'renewals':>10}{'most':>6}{'reused':>8}{'signed in':>11}"
        print(f"\n{f'{seconds:g} s, access tokens of {LIFE} s':24}{'load':>7}{headings}  what the errors were")
        ours = [runs.ours_at_certified(server, PROCESSES)]
        _row("lexoffice_nb", f"{PROCESSES} x {THREADS}", ours[-1], LIFE)
        ours.append(runs.ours_at_sandbox(box))
        _row("  … at the sandbox", f"{PROCESSES} x {THREADS}", ours[-1], LIFE)
        ours.append(runs.ours_at_certified(server, 1))
        _row("  … one process", f"1 x {THREADS}", ours[-1], LIFE)
        for name, module in PEERS.items():
            _row(name, f"1 x {THREADS}", runs.peer(module, server, LIFE), LIFE)
        _row(
            f"  … tokens of {GOOGLE_LIFE} s",
            f"1 x {THREADS}",
            runs.peer("google_auth", longer, GOOGLE_LIFE),
            GOOGLE_LIFE,
        )
    print(NOTE)
    reached = all(_is_good(outcome) for outcome in ours)
    print(
        "The goal is every request good, no more renewals than `most`, no refresh token reused, signed in at the end:"
    )
    print("reached." if reached else "missed.")


def _is_good(outcome: Outcome) -> bool:
    few = outcome.renewals <= outcome.most_renewals(LIFE)
    return outcome.ok > 0 and not outcome.errors and few and not outcome.reused and outcome.signed_in


if __name__ == "__main__":
    main()
