"""A signed-in session on a real sandbox, with a data folder of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider
from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.texts import use_language
from tests.boxes import with_a_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLBACK = "http://127.0.0.1:51234/callback"
SCOPES = "openid profile invoice.read contact.read"


@pytest.fixture(autouse=True)
def own_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the books of the test are: not with those of the person who runs it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user-data"))
    use_language("en")
    yield tmp_path / "user-data" / "lexoffice_nb" / "books"
    use_language(None)


@pytest.fixture
def make_box(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Starts a sandbox of the test's own; `vouchers` says how many its list has."""
    boxes: list[Sandbox] = []

    def make(vouchers: int | None = None, **settings: Any) -> Sandbox:
        folder = with_a_key(tmp_path / f"box{len(boxes)}")
        if vouchers is not None:
            with Sandbox(data_dir=folder) as box:
                settings["extra_vouchers"] = vouchers - len(box.voucher_rows["demo"])
        boxes.append(Sandbox(data_dir=folder, settings=SandboxSettings(**settings)))
        boxes[-1].start()
        return boxes[-1]

    yield make
    for box in boxes:
        box.stop()


@pytest.fixture
def box(make_box: Callable[..., Sandbox]) -> Sandbox:
    return make_box()


def a_session(box: Sandbox, scopes: str = SCOPES) -> LexofficeSession:
    """Signs in to a sandbox."""
    login = LexofficeLogin("lexoffice-nb", CALLBACK, scopes.split(), Provider.discover(box.url, name="sandbox"))
    login.handle_callback(sign_in(login.get_login_url()))
    return LexofficeSession.from_login(login)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    """A sandbox for all tests of a file, and the folder of the books that were synced from it once."""
    place = tmp_path_factory.mktemp("whole")
    with (
        pytest.MonkeyPatch.context() as patch,
        Sandbox(data_dir=with_a_key(place / "box")) as box,
        a_session(box) as session,
    ):
        patch.setenv("XDG_DATA_HOME", str(place / "user-data"))
        session.books.sync(wait=True)
        yield box, session.books.store.folder


@pytest.fixture
def signed_in() -> Iterator[Callable[..., LexofficeSession]]:
    """Makes a session on a sandbox."""
    sessions: list[LexofficeSession] = []

    def make(box: Sandbox, scopes: str = SCOPES) -> LexofficeSession:
        sessions.append(a_session(box, scopes))
        return sessions[-1]

    yield make
    for session in sessions:
        for books in session._books.values():
            books.stop()
            if books.latest is not None:
                books.latest.join(10)
        session.close()


@pytest.fixture
def session(box: Sandbox, signed_in: Callable[..., LexofficeSession]) -> LexofficeSession:
    return signed_in(box)


class Requests:
    """Counts the requests that came to a sandbox since the last look."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._seen = len(box.requests)

    def __call__(self, part: str = "/v1/") -> list[str]:
        """Gives the paths since then that have this part."""
        new = [each.path for each in self._box.requests[self._seen :] if each.path.startswith("/v1/")]
        self._seen = len(self._box.requests)
        return [path for path in new if part in path]


@pytest.fixture
def requests_of() -> type[Requests]:
    return Requests
