"""`using()` and threads: nobody's request ever reads another account's books."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb.errors import SignedOut
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.session import LexofficeSession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[LexofficeSession, LexofficeSession]]:
    """Two accounts of one provider, in memory."""
    with Sandbox(data_dir=tmp_path / "sandbox") as box:
        provider = Provider.discover(box.url)
        sessions = []
        for profile in ("a", "b"):
            attempt = LexofficeLogin("lexoffice-nb", "http://127.0.0.1:51234/callback", provider=provider)
            attempt.handle_callback(sign_in(attempt.get_login_url()))
            sessions.append(LexofficeSession.from_login(attempt, profile=profile))
        yield sessions[0], sessions[1]
        for session in sessions:
            session.forget()


def _enter(session: LexofficeSession) -> None:
    with session.using("b"):
        pass


def test_while_one_thread_uses_another_account_the_requests_of_others_are_refused(
    two: tuple[LexofficeSession, LexofficeSession],
) -> None:
    mine, other = two
    with ThreadPoolExecutor(1) as pool:
        with mine.using("b"):
            assert mine.profile_name == "b"
            assert mine.get("/v1/profile").status_code == 200
            with pytest.raises(SignedOut) as refused:
                pool.submit(mine.get, "/v1/profile").result(10)
            assert (refused.value.code, refused.value.values) == ("session_in_use", {"profile": "b"})
            with pytest.raises(SignedOut):
                pool.submit(_enter, mine).result(10)
            assert pool.submit(other.get, "/v1/profile").result(10).status_code == 200
        assert mine.profile_name == "a"
        assert pool.submit(mine.get, "/v1/profile").result(10).status_code == 200


def test_it_can_be_used_inside_itself_by_the_same_thread(two: tuple[LexofficeSession, LexofficeSession]) -> None:
    mine, _ = two
    with mine.using("b"), mine.using("b"):
        assert mine.get("/v1/profile").status_code == 200
    assert mine.profile_name == "a"
    assert mine.get("/v1/profile").status_code == 200
