"""Several organisations side by side: profiles, `using`, and the names that they may have."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from IPython.core.completer import provisionalcompleter

from lexoffice_nb.errors import LexofficeError, SignedOut, StoreError
from lexoffice_nb.notebook import sign_in
from lexoffice_nb.notebook.sign_in import login
from lexoffice_nb.oauth.accounts import is_kept
from lexoffice_nb.oauth.token_store import AccountName, FileStore, check_profile
from lexoffice_nb.session import LexofficeSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.sandbox import Sandbox

MUSTER, KANZLEI = "Muster & Söhne GmbH", "Steuerkanzlei Beispiel PartG mbB"


@pytest.fixture(autouse=True)
def accounts(homes: dict[str, str]) -> Iterator[Path]:
    """The folder of what is kept; each test begins with an empty one."""
    folder = Path(homes["XDG_DATA_HOME"]) / "lexoffice_nb" / "accounts"

    def empty() -> None:
        for file in folder.glob("*") if folder.exists() else ():
            file.unlink()

    empty()
    yield folder
    sign_in.close_all()
    empty()


@pytest.fixture
def signed_in(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LexofficeSession]:
    """Signs in as one of the sandbox's people, with nobody there."""

    def make(name: str, person: str = "demo", **options: object) -> LexofficeSession:
        monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", person)
        return login(name, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def two(signed_in: Callable[..., LexofficeSession]) -> tuple[LexofficeSession, LexofficeSession]:
    """Two organisations, both remembered."""
    a = signed_in("a", "demo", profile="muster", store="file")
    return a, signed_in("b", "kanzlei", profile="kanzlei", store="file")


def company(session: LexofficeSession) -> str:
    return str(session.get("/v1/profile").json()["companyName"])


def row(session: LexofficeSession, label: str) -> str:
    return next((row.value for row in session.receipt().rows() if row.label == label), "")


# --- side by side -----------------------------------------------------------------------------------------------------


def test_two_organisations_are_signed_in_side_by_side_and_each_receipt_names_its_own(
    two: tuple[LexofficeSession, LexofficeSession],
) -> None:
    a, b = two
    assert (company(a), company(b)) == (MUSTER, KANZLEI)
    assert (row(a, "Organisation"), row(a, "Profile")) == (MUSTER, "muster")
    assert (row(b, "Organisation"), row(b, "Profile")) == (KANZLEI, "kanzlei")
    assert MUSTER in repr(a)
    assert KANZLEI in repr(b)
    assert "muster" in a._repr_html_()


def test_the_next_notebook_names_the_profile_and_gets_that_organisation_alone(
    two: tuple[LexofficeSession, LexofficeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEXOFFICE_SANDBOX_PERSON")
    sign_in.close_all()
    assert company(login("x", profile="kanzlei")) == KANZLEI
    assert company(login("y", profile="muster")) == MUSTER
    with pytest.raises(SignedOut):
        login("z", profile="third")
    with pytest.raises(SignedOut):
        login("z")


def test_the_status_lists_every_profile(
    loaded: InteractiveShell, two: tuple[LexofficeSession, LexofficeSession], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_status", "")
    said = capsys.readouterr().out
    assert f"profile muster at sandbox ({MUSTER})" in said
    assert f"profile kanzlei at sandbox ({KANZLEI})" in said


def test_a_key_is_a_profile_too(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    key = box.make_api_key("kanzlei")
    monkeypatch.setenv("LEXOFFICE_API_KEY", key)
    first = login("k", profile="books", store="file", api_key=True)
    assert first.kind == "key"
    sign_in.close_all()
    second = login("k", profile="books", api_key=True)
    assert (company(second), second.kind, second.profile_name) == (KANZLEI, "key", "books")
    third = login("other", profile="books")  # the profile says what it is
    assert (company(third), third.kind) == (KANZLEI, "key")
    loaded.run_line_magic("lexoffice_status", "")
    assert key not in capsys.readouterr().out
    loaded.run_line_magic("lexoffice_logout", "--profile books")
    said = capsys.readouterr().out
    assert "the key itself stays good until you delete it" in said
    assert not is_kept(AccountName("sandbox", "books"))


def test_a_key_at_a_provider_with_confidential_clients_is_a_profile_too(
    box: Sandbox, homes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(homes["XDG_CONFIG_HOME"], "lexoffice_nb", "providers.toml")
    file.parent.mkdir(exist_ok=True)
    ends = {"authorization": "authorize", "token": "token", "revocation": "revoke"}
    entry = {f"{end}_endpoint": f"{box.url}/oauth2/{path}" for end, path in ends.items()}
    entry |= {"based_on": "lexware", "api_base": box.url}
    file.write_text("[vendor]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items()))
    try:
        monkeypatch.setenv("LEXOFFICE_API_KEY", box.make_api_key("kanzlei"))
        monkeypatch.setenv("LEXOFFICE_PROVIDER", "vendor")
        login("v", provider="vendor", api_key=True, store="file")
        sign_in.close_all()
        monkeypatch.delenv("LEXOFFICE_API_KEY", raising=False)
        assert company(login("v", provider="vendor", api_key=True)) == KANZLEI
    finally:
        file.unlink()


# --- using ------------------------------------------------------------------------------------------------------------


def test_using_takes_another_organisation_inside_and_this_one_afterwards(
    two: tuple[LexofficeSession, LexofficeSession],
) -> None:
    a, _ = two
    with a.using("kanzlei") as inside:
        assert inside is a
        assert company(a) == KANZLEI
        assert row(a, "Organisation") == KANZLEI
        assert row(a, "Profile") == "kanzlei"
    assert company(a) == MUSTER
    assert row(a, "Organisation") == MUSTER


def test_using_is_undone_after_an_error(two: tuple[LexofficeSession, LexofficeSession]) -> None:
    a, _ = two
    with contextlib.suppress(ZeroDivisionError), a.using("kanzlei"):
        raise ZeroDivisionError
    assert company(a) == MUSTER


def test_using_works_in_itself_and_back_to_the_first(signed_in: Callable[..., LexofficeSession]) -> None:
    a = signed_in("a", "demo", profile="muster")
    b = signed_in("b", "kanzlei", profile="kanzlei")
    with a.using("kanzlei"):
        with a.using("muster"):
            assert company(a) == MUSTER
        assert company(a) == KANZLEI
        with b.using("muster"):
            assert (company(a), company(b)) == (KANZLEI, MUSTER)
    assert (company(a), company(b)) == (MUSTER, KANZLEI)


def test_using_takes_what_is_remembered_when_no_session_has_it(
    two: tuple[LexofficeSession, LexofficeSession], box: Sandbox
) -> None:
    a, b = two
    b.forget()
    with a.using("kanzlei"):
        assert company(a) == KANZLEI
    assert company(a) == MUSTER


def test_using_of_a_profile_that_nobody_has_says_so_and_changes_nothing(
    signed_in: Callable[..., LexofficeSession], box: Sandbox
) -> None:
    a = signed_in("a", "demo", profile="muster")
    before = len(box.requests)
    with pytest.raises(SignedOut) as refused, a.using("nobody"):
        pytest.fail("it was entered")
    assert refused.value.code == "signed_out_profile"
    assert "nobody" in refused.value.what()
    assert "--profile" in refused.value.next()
    assert len(box.requests) == before
    assert company(a) == MUSTER


def test_using_of_an_account_that_was_signed_out_says_so(signed_in: Callable[..., LexofficeSession]) -> None:
    a = signed_in("a", "demo", profile="muster")
    b = signed_in("b", "kanzlei", profile="kanzlei")
    b.logout()
    with pytest.raises(SignedOut), a.using("kanzlei"):
        pytest.fail("it was entered")


def test_using_before_any_sign_in_is_refused(box: Sandbox) -> None:
    with pytest.raises(SignedOut), LexofficeSession().using("kanzlei"):
        pytest.fail("it was entered")


def test_a_log_out_inside_signs_out_the_inner_account_only(two: tuple[LexofficeSession, LexofficeSession]) -> None:
    a, b = two
    with a.using("kanzlei"):
        assert a.logout() == []
        with pytest.raises(SignedOut):
            a.get("/v1/profile")
    assert company(a) == MUSTER
    with pytest.raises(SignedOut):
        b.get("/v1/profile")
    assert is_kept(AccountName("sandbox", "muster"))
    assert not is_kept(AccountName("sandbox", "kanzlei"))


# --- signing out by profile -------------------------------------------------------------------------------------------


def revocations(box: Sandbox) -> int:
    return sum(r.path == "/connect/revoke" and r.status == 200 for r in box.requests)


def test_a_profile_is_signed_out_without_a_variable(
    loaded: InteractiveShell,
    two: tuple[LexofficeSession, LexofficeSession],
    box: Sandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = two
    token, before = b.tokens.access_token.reveal(), revocations(box)
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_logout", "--profile kanzlei")
    assert "profile kanzlei at sandbox is forgotten here, and the provider has revoked" in capsys.readouterr().out
    assert revocations(box) == before + 2
    assert box.grants.bearer(token) is None
    assert not is_kept(AccountName("sandbox", "kanzlei"))
    assert company(a) == MUSTER
    with pytest.raises(SignedOut) as refused:
        b.get("/v1/profile")
    assert refused.value.code == "signed_out_elsewhere"
    loaded.run_line_magic("lexoffice_logout", "--profile kanzlei")
    assert "Nothing is remembered under the profile kanzlei." in capsys.readouterr().out


def test_a_profile_is_signed_out_although_the_environment_has_a_key(
    loaded: InteractiveShell,
    two: tuple[LexofficeSession, LexofficeSession],
    box: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEXOFFICE_API_KEY", box.make_api_key())
    token = two[1].tokens.access_token.reveal()
    loaded.run_line_magic("lexoffice_logout", "--profile kanzlei")
    assert box.grants.bearer(token) is None
    assert not is_kept(AccountName("sandbox", "kanzlei"))


def test_a_profile_whose_revocation_fails_is_forgotten_and_that_is_said(
    loaded: InteractiveShell,
    two: tuple[LexofficeSession, LexofficeSession],
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = FileStore(AccountName("sandbox", "kanzlei"))
    entry = json.loads(store.path.read_text())
    entry["binding"]["client_id"] = "somebody-elses"
    store.path.write_text(json.dumps(entry))
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_logout", "--profile kanzlei")
    assert "The provider did not confirm that it revoked the tokens: " in capsys.readouterr().out
    assert not is_kept(store.name)


def test_a_profile_whose_time_is_over_is_forgotten_and_not_called_revoked(
    loaded: InteractiveShell,
    two: tuple[LexofficeSession, LexofficeSession],
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = FileStore(AccountName("sandbox", "kanzlei"))
    entry = json.loads(store.path.read_text())
    entry["remembered_until"] = "2020-01-01T00:00:00+00:00"
    store.path.write_text(json.dumps(entry))
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_logout", "--profile kanzlei")
    said = capsys.readouterr().out
    assert "its tokens were not revoked" in said
    assert "has revoked" not in said
    assert not is_kept(store.name)


def test_a_profile_in_memory_alone_is_signed_out_as_well(
    loaded: InteractiveShell,
    signed_in: Callable[..., LexofficeSession],
    box: Sandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = signed_in("a", "demo", profile="muster"), signed_in("b", "kanzlei", profile="kanzlei")
    token = b.tokens.access_token.reveal()
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_logout", "--profile kanzlei")
    assert "Signed out. b is gone" in capsys.readouterr().out
    assert box.grants.bearer(token) is None
    assert (a.signed_in, b.signed_in) == (True, False)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", " ", "../x", "/etc/passwd", "a/b", "a\\b", "C:x", "a\0b", "a\nb", "x" * 300, "..", ".hidden", "-x"]
)
def test_threat_36_a_name_that_could_be_a_path_is_refused_and_nothing_is_written(
    name: str, box: Sandbox, accounts: Path, homes: dict[str, str]
) -> None:
    base = Path(homes["HOME"]).parent
    before = sorted(base.rglob("*"))
    with pytest.raises(StoreError) as refused:
        check_profile(name)
    assert refused.value.code == "profile_name"
    with pytest.raises(LexofficeError):
        login("n", profile=name, store="file", interactive=False)
    assert sorted(base.rglob("*")) == before
    assert not name.strip() or name not in str(refused.value)


@pytest.mark.parametrize("name", ["CON", "nul", "Kanzlei Müller", "株式会社", "a.b@c+d", "x" * 64])
def test_threat_36_any_other_name_is_hashed_for_the_file(
    name: str, signed_in: Callable[..., LexofficeSession], accounts: Path
) -> None:
    session = signed_in("n", "demo", profile=name, store="file")
    assert row(session, "Profile") == name
    files = [file.name for file in accounts.iterdir()]
    assert f"{AccountName('sandbox', name).key}.json" in files
    assert all(file.lstrip(".")[:32].isalnum() for file in files)
    assert not any(name.lower() in file.lower() for file in files)


def test_threat_36_two_ways_to_type_a_name_are_one_profile(signed_in: Callable[..., LexofficeSession]) -> None:
    signed_in("n", "demo", profile="Mu\u0308ller", store="file")
    assert is_kept(AccountName("sandbox", "Müller"))


# --- completion -------------------------------------------------------------------------------------------------------


def completions(ip: InteractiveShell, line: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in ip.Completer.completions(line, len(line))]


@pytest.mark.parametrize("magic", ["%lexoffice_login", "%lexoffice_logout"])
def test_profiles_are_completed(
    loaded: InteractiveShell, two: tuple[LexofficeSession, LexofficeSession], magic: str
) -> None:
    assert sorted(completions(loaded, f"{magic} --profile ")) == ["kanzlei", "muster"]
    assert completions(loaded, f"{magic} --profile k") == ["kanzlei"]
    assert completions(loaded, f"{magic} --profile=mu") == ["muster"]


def test_a_profile_with_a_blank_is_completed_in_quotes_and_understood(
    loaded: InteractiveShell, signed_in: Callable[..., LexofficeSession]
) -> None:
    signed_in("n", "demo", profile="Kanzlei Nord", store="file")
    sign_in.close_all()
    assert completions(loaded, "%lexoffice_login --profile ") == ['"Kanzlei Nord"']
    loaded.run_line_magic("lexoffice_login", 'x --profile "Kanzlei Nord"')
    assert row(loaded.user_ns["x"], "Profile") == "Kanzlei Nord"
