"""Kept tokens at any moment of their life, and processes that work with them: what the tests of renewal share."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexoffice_nb.errors import LexofficeError
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.token_endpoint import TokenEndpoint
from lexoffice_nb.oauth.token_source import SignIn, TokenSource
from lexoffice_nb.oauth.token_store import AccountName, Binding, FileStore, Kept, MemoryStore
from lexoffice_nb.oauth.tokens import Secret, TokenSet
from tests.oauth.misbehaving import CLIENT_ID, LEFT_OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb.oauth.token_store import TokenStore
    from tests.oauth import misbehaving

NAME = AccountName("probe")
FIRST = Secret("the-first-access-token")
PLAIN: dict[str, Any] = {"id_token": LEFT_OUT}
"""Members of a token answer without an ID token."""


def provider_at(origin: str) -> Provider:
    return Provider(
        name="probe",
        title="Probe",
        authorization_endpoint=f"{origin}/authorize",
        token_endpoint=f"{origin}/token",
        api_base=origin,
        issuer=origin,
        revocation_endpoint=f"{origin}/revoke",
    )


def kept_at(server: misbehaving.Provider, *, left: float | None, life: float = 3600, **changes: Any) -> Kept:
    """Tokens of a sign-in whose access token lives `left` seconds more, of `life`."""
    expires_at = None if left is None else datetime.now(UTC) + timedelta(seconds=left)
    values: dict[str, Any] = {
        "name": NAME,
        "binding": Binding.of(provider_at(server.origin), CLIENT_ID),
        "kind": "oauth",
        "tokens": TokenSet(FIRST, expires_at, ("openid",), Secret(server.issue())),
        "family": "family-1",
        "stale_at": expires_at and expires_at - timedelta(seconds=min(300, life / 4)),
    }
    return Kept(**{**values, **changes})


def source_over(store: TokenStore, origin: str) -> TokenSource:
    """A source that has taken over what the store keeps."""
    provider = provider_at(origin)
    source = TokenSource(store)
    endpoint = TokenEndpoint(provider, CLIENT_ID)
    assert source.adopt_kept(SignIn(endpoint), Binding.of(provider, CLIENT_ID), "probe.ipynb") is not None
    return source


def source_with(kept: Kept, origin: str, store: TokenStore | None = None) -> TokenSource:
    store = store or MemoryStore()
    store.save(kept)
    return source_over(store, origin)


def pass_time(source: TokenSource, seconds: float) -> None:
    """Moves what is kept into the past, as time would."""
    kept, by = source.store.load(), timedelta(seconds=seconds)
    assert kept is not None
    tokens = kept.tokens
    source.store.save(
        replace(
            kept,
            tokens=replace(tokens, expires_at=tokens.expires_at and tokens.expires_at - by),
            stale_at=kept.stale_at and kept.stale_at - by,
        )
    )


def refresh_token_of(kept: Kept | None) -> str:
    assert kept is not None
    assert kept.tokens.refresh_token is not None
    return kept.tokens.refresh_token.reveal()


def until(is_so: Callable[[], object], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def settled(source: TokenSource) -> None:
    """Waits for a renewal in the background to end."""
    until(lambda: source._flight is None)


# --- what other processes do ---


def ask_for_a_while(folder: str, origin: str, threads: int, seconds: float, together: Any, answers: Any) -> None:
    """Asks in threads for some seconds, and tells how often it was given a token, and what failed."""
    source = source_over(FileStore(NAME, Path(folder)), origin)
    together.wait(30)
    end = time.monotonic() + seconds
    given, problems = [0] * threads, []

    def run(number: int) -> None:
        while time.monotonic() < end:
            try:
                source.access_token()
                given[number] += 1
            except Exception as error:
                problems.append(repr(error))
            time.sleep(0.02)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    answers.put((sum(given), problems[:3]))


def main(action: str, folder: str, origin: str) -> None:
    source = source_over(FileStore(NAME, Path(folder)), origin)
    if action == "log_out":
        source.revoke()
    elif action == "ask":  # and end, whatever comes
        with suppress(LexofficeError):
            source.access_token()
    print(action, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
