"""Removes one check at a time from a copy of the package, and prints for each the test that notices.

    make mutants

A check that can go without any test failing is one that somebody will lose by accident. The copy is thrown away; the
checkout is never changed. It ends with 1 if a removal went unnoticed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
COPIED = ("lexoffice_nb", "tests", "tools", "docs", "pyproject.toml", "README.md")
SECONDS = 300


@dataclass(frozen=True)
class Mutant:
    """One check less: `old` occurs once in the file, and `new` stands there instead. `tests` are the ones to ask."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


LOGINS = ("tests/oauth/test_login.py", "tests/oauth/test_callback.py")
ID_TOKEN = ("tests/oauth/test_id_token.py",)
DISCOVERY = ("tests/oauth/test_discovery.py",)
ENDPOINT = ("tests/oauth/test_token_endpoint.py",)
MUTANTS = (
    Mutant(
        "the state of a callback is not compared",
        "lexoffice_nb/oauth/callback.py",
        'if not hmac.compare_digest(state.encode("utf-8", "replace"), expected.state.encode()):',
        "if False:",
        LOGINS,
    ),
    Mutant(
        "a callback can be used twice",
        "lexoffice_nb/oauth/login.py",
        "            attempt.used = True\n",
        "",
        LOGINS,
    ),
    Mutant(
        "a login URL never becomes too old",
        "lexoffice_nb/oauth/login.py",
        "return time.monotonic() - self.begun > ATTEMPT_SECONDS",
        "return False",
        LOGINS,
    ),
    Mutant(
        "`iss` of the answer is not compared",
        "lexoffice_nb/oauth/callback.py",
        "if iss is not None and expected.issuer is not None and iss != expected.issuer:",
        "if False:",
        LOGINS,
    ),
    Mutant(
        "`iss` may be missing although it was promised",
        "lexoffice_nb/oauth/callback.py",
        "if iss is None and expected.iss_required:",
        "if False:",
        LOGINS,
    ),
    Mutant(
        "repeated parameters are taken",
        "lexoffice_nb/oauth/callback.py",
        "if len(parameters) != len(pairs):",
        "if False:",
        LOGINS,
    ),
    Mutant(
        "the redirect of a token endpoint is an answer",
        "lexoffice_nb/oauth/token_endpoint.py",
        "if 300 <= answer.status < 400:",
        "if False:",
        ENDPOINT,
    ),
    Mutant(
        "`~/.netrc` says who asks",
        "lexoffice_nb/oauth/transport.py",
        "            session.trust_env = False\n",
        "",
        ("tests/oauth/test_transport.py",),
    ),
    Mutant(
        "any token_type is taken",
        "lexoffice_nb/oauth/token_endpoint.py",
        'if kind.lower() != "bearer":',
        "if False:",
        ENDPOINT,
    ),
    Mutant(
        "the issuer of metadata is not compared",
        "lexoffice_nb/oauth/metadata.py",
        'if document.get("issuer") != issuer:',
        "if False:",
        DISCOVERY,
    ),
    Mutant(
        "an endpoint may be anywhere",
        "lexoffice_nb/oauth/metadata.py",
        "if not isinstance(url, str) or not is_allowed(url, named_by=issuer):",
        "if not isinstance(url, str):",
        DISCOVERY,
    ),
    Mutant(
        "a remote issuer may name this machine",
        "lexoffice_nb/oauth/transport.py",
        "if named_by is not None and _nearness(url) > _nearness(named_by):",
        "if False:",
        (*DISCOVERY, "tests/oauth/test_transport.py"),
    ),
    Mutant(
        "answers may be of any size",
        "lexoffice_nb/oauth/transport.py",
        "if len(body) > limit:",
        "if False:",
        ("tests/oauth/test_transport.py", *DISCOVERY),
    ),
    Mutant(
        "the signature of an ID token is not checked",
        "lexoffice_nb/oauth/id_token.py",
        "    if not good:\n",
        "    if False:\n",
        ID_TOKEN,
    ),
    Mutant(
        "the algorithm is the token's own choice",
        "lexoffice_nb/oauth/id_token.py",
        'if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:',
        'if not isinstance(header.get("alg"), str):',
        ID_TOKEN,
    ),
    Mutant(
        "the audience of an ID token is not compared",
        "lexoffice_nb/oauth/id_token.py",
        "if client_id not in audiences:",
        "if False:",
        ID_TOKEN,
    ),
    Mutant(
        "the nonce of an ID token is not compared",
        "lexoffice_nb/oauth/id_token.py",
        "if not left_out and not (isinstance(nonce, str) and _equal(nonce, expected.nonce)):",
        "if False:",
        ID_TOKEN,
    ),
    Mutant(
        "an ID token never ends",
        "lexoffice_nb/oauth/id_token.py",
        "if exp <= now - SKEW_SECONDS:",
        "if False:",
        ID_TOKEN,
    ),
    Mutant(
        "`crit` is ignored",
        "lexoffice_nb/oauth/id_token.py",
        'if "crit" in header or "b64" in header:',
        "if False:",
        ID_TOKEN,
    ),
    Mutant(
        "`at_hash` is not compared",
        "lexoffice_nb/oauth/id_token.py",
        'if not _equal(str(claims["at_hash"]), base64url(digest[: len(digest) // 2])):',
        "if False:",
        ID_TOKEN,
    ),
    Mutant(
        "a user's file may redefine a shipped name",
        "lexoffice_nb/oauth/presets.py",
        "if own is not None and ships is not None:",
        "if False:",
        ("tests/oauth/test_presets.py",),
    ),
    Mutant(
        "the code verifier is not sent",
        "lexoffice_nb/oauth/token_endpoint.py",
        '            "code_verifier": code_verifier,\n',
        "",
        (*LOGINS, *ENDPOINT),
    ),
)


def applied(mutant: Mutant, tree: Path) -> str:
    """Removes the check; gives what the file was before."""
    file = tree / mutant.file
    before = file.read_text("utf-8")
    if before.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: its place is not (or not only once) in {mutant.file}: adapt tools/mutants.py")
    file.write_text(before.replace(mutant.old, mutant.new), "utf-8")
    return before


def first_failure(mutant: Mutant, tree: Path) -> str | None:
    """Gives the first test that fails without the check, or None."""
    before = applied(mutant, tree)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *mutant.tests],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        (tree / mutant.file).write_text(before, "utf-8")
    if result.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: the tests could not be run\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", result.stdout, re.MULTILINE)
    return failed[1] if failed else None


def copy_of_the_tree(folder: Path) -> Path:
    """A copy to change: the package, and the tests that judge it."""
    tree = Path(tempfile.mkdtemp(dir=folder))
    ignored = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, tree / name)
    return tree


def main(arguments: list[str] | None = None) -> int:
    """Tries all of them, or those whose name holds a word."""
    parser = argparse.ArgumentParser(description="Removes one check at a time and prints the test that notices.")
    parser.add_argument("-k", metavar="WORD", default="", help="only the removals whose name holds this word")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if options.k in mutant.name]
    unnoticed = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for _ in range(options.workers):
            trees.put(copy_of_the_tree(Path(folder)))

        def judge(mutant: Mutant) -> str | None:
            tree = trees.get()
            try:
                return first_failure(mutant, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(options.workers) as pool:
            for number, (mutant, failed) in enumerate(zip(chosen, pool.map(judge, chosen), strict=True), 1):
                print(f"{number:2} of {len(chosen)}  {mutant.name}", flush=True)
                print(f"          {'noticed by ' + failed if failed else 'UNNOTICED'}", flush=True)
                unnoticed += failed is None
    print(f"{len(chosen)} checks removed one at a time, {unnoticed} unnoticed, {time.monotonic() - begun:.0f} s")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    raise SystemExit(main())
