"""Staying signed in: the tick, what is kept, and who may use it without a click."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import LexofficeError, SignedOut
from lexoffice_nb.notebook import sign_in
from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.login_flow import LoginFlow
from lexoffice_nb.notebook.login_widget import LoginWidget
from lexoffice_nb.notebook.sign_in import login
from lexoffice_nb.notebook.sign_in_request import GivenSecrets, Keeping, SignInRequest
from lexoffice_nb.notebook.terminal import sign_in_terminal
from lexoffice_nb.oauth.accounts import is_kept, where_this_runs
from lexoffice_nb.oauth.token_store import AccountName, FileStore
from lexoffice_nb.oauth.tokens import Secret
from lexoffice_nb.sandbox.people import PEOPLE
from lexoffice_nb.sandbox.person import sign_in as allow
from lexoffice_nb.texts import use_language
from tests.keyring_session import KeyringSession
from tests.notebook.conftest import browse, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.sandbox import Sandbox
    from lexoffice_nb.session import LexofficeSession
    from tests.notebook.kernels import Kernel

NAME = AccountName("sandbox")
COMPANY = {"demo": "Muster & Söhne GmbH", "kanzlei": "Steuerkanzlei Beispiel PartG mbB"}


@pytest.fixture(autouse=True)
def accounts(homes: dict[str, str]) -> Iterator[Path]:
    """The folder of what is kept; each test begins with an empty one."""
    folder = Path(homes["XDG_DATA_HOME"]) / "lexoffice_nb" / "accounts"
    for file in folder.glob("*") if folder.exists() else ():
        file.unlink()
    yield folder
    sign_in.close_all()
    for file in folder.glob("*") if folder.exists() else ():
        file.unlink()


@pytest.fixture
def keeping_flow(box: Sandbox) -> Iterator[Callable[..., LoginFlow]]:
    """Makes flows, prepared, with what is to become of them."""
    flows: list[LoginFlow] = []

    def make(keeping: Keeping | None = None, secrets: GivenSecrets | None = None, **asked: object) -> LoginFlow:
        flows.append(LoginFlow(SignInRequest(**asked), secrets, keeping=keeping))  # type: ignore[arg-type]
        flows[-1].prepare()
        return flows[-1]

    yield make
    for flow in flows:
        flow.close()
        flow.session.forget()


@pytest.fixture
def in_a_notebook(loaded: InteractiveShell) -> InteractiveShell:
    """A shell where a login shows its card."""
    loaded.kernel = SimpleNamespace(_allow_stdin=True)
    return loaded


def tick(flow: LoginFlow, *, on: object = True) -> None:
    """As the view of the card says it."""
    widget = LoginWidget(flow)
    widget._handle_msg({"content": {"data": {"method": "custom", "content": {"kind": "remember", "on": on}}}})
    if on is True:
        eventually(lambda: flow.place)


def remember(flow: LoginFlow, person: str = "demo") -> dict[str, str]:
    """Ticks and signs in; gives the tokens."""
    tick(flow)
    assert browse(allow(flow.link, person))[0] == 200
    assert flow.state == "signed_in", flow.problem
    return tokens_of(flow.session)


def tokens_of(session: LexofficeSession) -> dict[str, str]:
    tokens = session.tokens
    assert tokens.refresh_token is not None
    assert tokens.id_token is not None
    return {
        "access": tokens.access_token.reveal(),
        "refresh": tokens.refresh_token.reveal(),
        "id": tokens.id_token.reveal(),
    }


def written(homes: dict[str, str], secrets: Mapping[Any, str]) -> set[Path]:
    """The files of the user that hold one of these, whatever their name."""
    base = Path(homes["HOME"]).parent
    files = [path for path in base.rglob("*") if path.is_file() and not path.is_symlink()]
    return {file for file in files if any(secret.encode() in file.read_bytes() for secret in secrets.values())}


def asked_with_tokens(box: Sandbox) -> int:
    """How many requests reached the sandbox that carry a token or a key."""
    return sum(
        r.authorised_as is not None or (r.path.startswith("/connect/") and r.method == "POST") for r in box.requests
    )


def change(name: AccountName = NAME, **values: object) -> None:
    """Changes what is kept, as time or somebody else would."""
    store = FileStore(name)
    kept = store.load()
    assert kept is not None
    store.save(replace(kept, **values))  # type: ignore[arg-type]


# --- the tick ---------------------------------------------------------------------------------------------------------


def test_the_tick_shows_the_file_and_the_day_before_anything_is_kept(
    keeping_flow: Callable[..., LoginFlow], accounts: Path
) -> None:
    flow = keeping_flow()
    drawn = card(flow)["remember"]
    assert (drawn["on"], drawn["label"]) == (False, "Stay signed in on this machine")
    tick(flow)
    drawn = card(flow)["remember"]
    day = datetime.now().astimezone() + timedelta(days=30)
    assert drawn["on"]
    assert str(FileStore(NAME).path) in drawn["hint"]
    assert "not encrypted" in drawn["hint"]
    assert str(day.year) in drawn["hint"]
    assert str(day.day) in drawn["hint"]
    assert not is_kept(NAME)
    use_language("de")
    assert "unverschlüsselt" in card(flow)["remember"]["hint"]


def test_without_the_tick_no_token_is_written_anywhere(
    keeping_flow: Callable[..., LoginFlow], homes: dict[str, str]
) -> None:
    flow = keeping_flow()
    tick(flow)
    tick(flow, on=False)
    assert browse(allow(flow.link))[0] == 200
    assert written(homes, tokens_of(flow.session)) == set()
    assert "memory only" in str([row.value for row in flow.session.receipt().rows()])
    assert not is_kept(NAME)


def test_with_the_tick_the_tokens_are_in_one_private_file_and_the_receipt_says_so(
    keeping_flow: Callable[..., LoginFlow], homes: dict[str, str], accounts: Path
) -> None:
    flow = keeping_flow()
    secrets = remember(flow)
    path = FileStore(NAME).path
    assert written(homes, secrets) == {path}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(accounts.stat().st_mode) == 0o700
    values = {row["label"]: row["value"] for row in card(flow)["rows"]}
    assert str(path) in values["Kept"]
    assert values["Remembered"].startswith("until ")
    assert card(flow)["remember"] is None, "there is nothing to tick any more"
    assert not any(secret in json.dumps(card(flow)) for secret in secrets.values())


@pytest.mark.parametrize("on", [1, "true", None, [], {}])
def test_a_tick_that_is_no_yes_or_no_is_ignored(keeping_flow: Callable[..., LoginFlow], on: object) -> None:
    flow = keeping_flow()
    tick(flow, on=on)
    assert not flow.remember


def test_a_place_that_cannot_be_written_is_said_and_the_sign_in_holds(
    keeping_flow: Callable[..., LoginFlow], accounts: Path
) -> None:
    flow = keeping_flow()
    tick(flow)
    accounts.parent.mkdir(exist_ok=True)
    if accounts.exists():
        accounts.chmod(0o755)
    else:
        accounts.mkdir(mode=0o755)
    accounts.chmod(0o777)
    try:
        assert browse(allow(flow.link))[0] == 200
        assert flow.state == "signed_in"
        assert flow.session.get("/v1/profile").status_code == 200
        assert flow.problem is not None
        assert flow.problem.code.startswith("store_")
        drawn = card(flow)
        assert str(accounts) in drawn["problem"]["what"]
        assert "memory only" in str(drawn["rows"])
    finally:
        accounts.chmod(0o700)


# --- the next notebook ------------------------------------------------------------------------------------------------

TOMORROW = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
shell.run_line_magic("load_ext", "lexoffice_nb")
shell.run_cell("%lexoffice_login")
print("signed in:", shell.user_ns["lexoffice"].signed_in)
input()
print("as:", shell.user_ns["lexoffice"].get("/v1/profile").json()["companyName"])
"""


def test_another_process_is_signed_in_without_a_click_and_sends_no_token_before_its_first_use(
    keeping_flow: Callable[..., LoginFlow], box: Sandbox
) -> None:
    remember(keeping_flow())
    before = asked_with_tokens(box)
    with subprocess.Popen(
        [sys.executable, "-c", TOMORROW],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "signed in:" in line:
                break
        assert "signed in: True" in said
        assert asked_with_tokens(box) == before
        rest, complained = process.communicate("\n", timeout=60)
    assert "as: Muster & Söhne GmbH" in rest, complained
    assert asked_with_tokens(box) == before + 1


def test_another_variable_of_this_notebook_is_signed_in_as_well_and_its_card_says_so(
    in_a_notebook: InteractiveShell, box: Sandbox, keeping_flow: Callable[..., LoginFlow]
) -> None:
    remember(keeping_flow())
    before = asked_with_tokens(box)
    in_a_notebook.run_line_magic("lexoffice_login", "tax")
    flow = sign_in._sign_ins["tax"].flow
    assert flow.state == "signed_in"
    assert asked_with_tokens(box) == before
    drawn = card(flow)
    assert (drawn["state"], drawn["link"]) == ("signed_in", None)
    assert "Muster & Söhne GmbH" in str(drawn["rows"])
    assert "until" in str([row for row in drawn["rows"] if row["label"] == "Remembered"])
    assert in_a_notebook.user_ns["tax"].get("/v1/profile").json()["companyName"] == "Muster & Söhne GmbH"


def test_each_use_without_a_click_is_listed_with_time_and_notebook(
    loaded: InteractiveShell,
    keeping_flow: Callable[..., LoginFlow],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    remember(keeping_flow())
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/somebody/year-end/vat.ipynb")
    assert keeping_flow().state == "signed_in"
    monkeypatch.setenv("JPY_SESSION_NAME", "C:\x1b[31m" + "x" * 200)
    assert keeping_flow().state == "signed_in"
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_status", "")
    said = capsys.readouterr().out
    assert "profile default at sandbox (Muster & Söhne GmbH), in a file that only you can read, until " in said
    assert f"({'vat.ipynb'})" in said
    assert "/home/somebody" not in said
    assert "\x1b" not in said
    assert datetime.now().astimezone().strftime("%H:") in said


def test_a_damaged_store_is_shown_and_the_link_works(keeping_flow: Callable[..., LoginFlow]) -> None:
    remember(keeping_flow())
    FileStore(NAME).path.write_text('{"format": 1')
    flow = keeping_flow()
    assert (flow.state, flow.asks) == ("waiting", "callback")
    assert flow.problem is not None
    assert flow.problem.code == "store_damaged"
    assert str(FileStore(NAME).path) in card(flow)["problem"]["what"]
    remember(flow)
    assert keeping_flow().state == "signed_in"


def test_a_damaged_store_is_in_the_status_and_does_not_end_it(
    loaded: InteractiveShell, keeping_flow: Callable[..., LoginFlow], capsys: pytest.CaptureFixture[str], accounts: Path
) -> None:
    remember(keeping_flow())
    FileStore(NAME).path.write_text("{")
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_status", "")
    assert "Remembered on this machine, but not usable: " in capsys.readouterr().out
    accounts.chmod(0o777)
    try:
        loaded.run_line_magic("lexoffice_status", "")
        assert "Remembered on this machine, but not usable: " in capsys.readouterr().out
    finally:
        accounts.chmod(0o700)


def test_force_gives_a_fresh_link(in_a_notebook: InteractiveShell, keeping_flow: Callable[..., LoginFlow]) -> None:
    remember(keeping_flow())
    in_a_notebook.run_line_magic("lexoffice_login", "--force")
    flow = sign_in._sign_ins["lexoffice"].flow
    eventually(lambda: flow.state == "waiting")
    assert flow.state == "waiting"
    assert is_kept(NAME), "until the new one takes its place"


def test_what_a_newer_sign_in_replaces_is_revoked(keeping_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    first = remember(keeping_flow())
    second = remember(keeping_flow(Keeping(fresh=True)))
    assert box.grants.bearer(first["access"]) is None, "nothing could have reached it any more"
    assert box.grants.bearer(second["access"]) is not None
    assert box.grants.find_refresh_token(second["refresh"]) is not None


# --- an explicit argument in Python -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_demo", "box")
def test_login_with_a_store_keeps_and_with_a_setting_keeps_nothing(
    loaded: InteractiveShell, homes: dict[str, str]
) -> None:
    loaded.run_line_magic("config", "LexofficeMagics.store = 'file'")
    loaded.run_line_magic("lexoffice_login", "")
    assert not is_kept(NAME), "a setting only sets the tick, and here is none to be seen"
    assert written(homes, tokens_of(loaded.user_ns["lexoffice"])) == set()
    login(store="file")
    assert is_kept(NAME), "the argument of a sign-in that is done already counts as well"
    assert login("other", interactive=False).account.company == "Muster & Söhne GmbH"


@pytest.mark.usefixtures("as_demo")
def test_login_with_a_store_anew_keeps_the_new_tokens_and_revokes_the_old(box: Sandbox) -> None:
    first = tokens_of(login(store="file"))
    second = login(store="file", force=True)
    assert second.get("/v1/profile").status_code == 200
    assert box.grants.bearer(first["access"]) is None
    assert is_kept(NAME)
    kept = FileStore(NAME).load()
    assert kept is not None
    assert kept.tokens.access_token == second.tokens.access_token


def test_a_setting_sets_the_tick_of_the_card_and_keeps_nothing_by_itself(
    in_a_notebook: InteractiveShell, box: Sandbox, homes: dict[str, str]
) -> None:
    in_a_notebook.run_line_magic("config", "LexofficeMagics.store = 'file'")
    in_a_notebook.run_line_magic("lexoffice_login", "")
    flow = sign_in._sign_ins["lexoffice"].flow
    eventually(lambda: flow.state == "waiting" and flow.place)
    assert card(flow)["remember"]["on"]
    assert str(FileStore(NAME).path) in card(flow)["remember"]["hint"]
    assert not is_kept(NAME)
    tick(flow, on=False)
    assert browse(allow(flow.link))[0] == 200
    assert not is_kept(NAME)


# --- threats ----------------------------------------------------------------------------------------------------------


def test_threat_02_a_key_of_the_environment_is_not_kept_by_a_setting_alone(
    in_a_notebook: InteractiveShell, box: Sandbox, homes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = box.make_api_key()
    monkeypatch.setenv("LEXOFFICE_API_KEY", key)
    in_a_notebook.run_line_magic("config", "LexofficeMagics.store = 'file'")
    in_a_notebook.run_line_magic("lexoffice_login", "--api-key")
    eventually(lambda: in_a_notebook.user_ns["lexoffice"].signed_in)
    assert written(homes, {"key": key}) == set()
    assert not is_kept(NAME)


def test_threat_02_more_scopes_than_were_ticked_need_the_link_again(keeping_flow: Callable[..., LoginFlow]) -> None:
    remember(keeping_flow(scopes=("openid", "profile", "offline_access")))
    more = keeping_flow(scopes=("openid", "profile", "invoice.read"))
    assert (more.state, bool(more.link), more.session.signed_in) == ("waiting", True, False)
    same = keeping_flow(scopes=("openid", "profile"))
    assert same.state == "signed_in"
    assert same.session.tokens.scope == ("openid", "profile", "offline_access")


def test_threat_02_after_30_days_the_link_comes_again_and_the_entry_is_gone(
    keeping_flow: Callable[..., LoginFlow], homes: dict[str, str]
) -> None:
    secrets = remember(keeping_flow())
    kept = FileStore(NAME).load()
    assert kept is not None
    assert kept.remembered_until is not None
    assert abs(kept.remembered_until - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    change(remembered_until=datetime.now(UTC) - timedelta(seconds=1))
    flow = keeping_flow()
    assert (flow.state, bool(flow.link)) == ("waiting", True)
    assert not is_kept(NAME)
    assert written(homes, secrets) == set()


def test_threat_02_using_it_without_a_click_does_not_make_it_last_longer(
    keeping_flow: Callable[..., LoginFlow],
) -> None:
    remember(keeping_flow())
    end = datetime.now(UTC) + timedelta(days=2)
    change(remembered_until=end)
    flow = keeping_flow()
    assert flow.session.get("/v1/profile").status_code == 200
    kept = FileStore(NAME).load()
    assert kept is not None
    assert kept.remembered_until == end
    assert [one.where for one in kept.adoptions] == [where_this_runs()]


@pytest.fixture
def own_entry(homes: dict[str, str]) -> Iterator[Callable[..., None]]:
    """Writes the person's own entry of the provider `mine`."""
    file = Path(homes["XDG_CONFIG_HOME"], "lexoffice_nb", "providers.toml")

    def write(**values: object) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text("[mine]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))

    yield write
    file.unlink(missing_ok=True)


def endpoints(box: Sandbox) -> dict[str, object]:
    return {
        "authorization_endpoint": f"{box.url}/connect/authorize",
        "token_endpoint": f"{box.url}/connect/token",
        "revocation_endpoint": f"{box.url}/connect/revoke",
        "api_base": box.url,
        "client_id": "lexoffice-nb",
        "scopes": ["profile", "offline_access"],
    }


@pytest.mark.parametrize("changed", ["token_endpoint", "api_base", "client_id", "issuer"])
def test_threat_01_a_provider_that_somebody_redefined_gets_no_byte(
    changed: str,
    box: Sandbox,
    own_entry: Callable[..., None],
    keeping_flow: Callable[..., LoginFlow],
) -> None:
    name = AccountName("mine")
    own_entry(**endpoints(box))
    flow = keeping_flow(provider="mine")
    tick(flow)
    assert browse(allow(flow.link))[0] == 200
    assert is_kept(name), flow.problem
    entry = endpoints(box)
    elsewhere = box.url.replace("127.0.0.1", "localhost")
    if changed == "issuer":
        entry = {"issuer": box.url, "client_id": "lexoffice-nb"}
    elif changed == "client_id":
        entry["client_id"] = "somebody-elses"
    elif changed == "token_endpoint":
        entry |= {"token_endpoint": f"{elsewhere}/connect/token"}
    else:
        entry |= {"api_base": elsewhere}
    own_entry(**entry)
    before = asked_with_tokens(box)
    again = keeping_flow(provider="mine")
    assert again.problem is not None
    assert again.problem.code == "signed_out_binding"
    assert "none of it was sent" in card(again)["problem"]["what"]
    assert (again.state, again.session.signed_in) == ("waiting", False)
    assert asked_with_tokens(box) == before
    assert is_kept(name), "it is the person's, who may put the settings right again"
    own_entry(**endpoints(box))
    assert keeping_flow(provider="mine").state == "signed_in"


@pytest.mark.parametrize("how", ["environment", "config"])
def test_threat_01_a_client_named_by_a_setting_gets_no_byte(
    how: str,
    in_a_notebook: InteractiveShell,
    box: Sandbox,
    keeping_flow: Callable[..., LoginFlow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remember(keeping_flow())
    before = asked_with_tokens(box)
    if how == "environment":
        monkeypatch.setenv("LEXOFFICE_CLIENT_ID", "somebody-elses")
    else:
        in_a_notebook.run_line_magic("config", "LexofficeMagics.client_id = 'somebody-elses'")
    in_a_notebook.run_line_magic("lexoffice_login", "")
    flow = sign_in._sign_ins["lexoffice"].flow
    assert flow.problem is not None
    assert flow.problem.code == "signed_out_binding"
    assert not in_a_notebook.user_ns["lexoffice"].signed_in
    with pytest.raises(SignedOut):
        in_a_notebook.user_ns["lexoffice"].get("/v1/profile")
    assert asked_with_tokens(box) == before


# --- somebody else than before ----------------------------------------------------------------------------------------


def other(flow: LoginFlow, person: str = "kanzlei") -> str:
    """Signs in as somebody else; gives the access token, which is not in the session."""
    assert browse(allow(flow.link, person))[0] == 200
    assert (flow.state, flow.asks) == ("waiting", "account"), flow.problem
    assert flow.candidate is not None
    return flow.candidate.source.tokens.access_token.reveal()


def test_threat_10_another_organisation_than_the_profiles_last_is_asked_about_first(
    keeping_flow: Callable[..., LoginFlow], box: Sandbox
) -> None:
    first = remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    token = other(flow)
    assert not flow.session.signed_in
    with pytest.raises(SignedOut):
        flow.session.get("/v1/profile")
    drawn = card(flow)
    assert drawn["status"]["text"] == "Is this the right account?"
    assert COMPANY["demo"] in drawn["problem"]["what"]
    assert COMPANY["kanzlei"] in drawn["problem"]["what"]
    assert [action["name"] for action in drawn["actions"]] == ["use_account", "refuse_account"]
    assert COMPANY["kanzlei"] in drawn["actions"][0]["label"]
    assert (drawn["link"], drawn["box"], drawn["remember"]) == (None, None, None)
    assert token not in json.dumps(drawn)
    use_language("de")
    drawn = card(flow)
    assert drawn["status"]["text"] == "Ist das das richtige Konto?"
    assert COMPANY["demo"] in drawn["problem"]["what"]
    assert "Noch ist nichts davon im Notebook." in drawn["problem"]["next"]
    flow.use_account()
    eventually(lambda: flow.state == "signed_in")
    assert flow.session.get("/v1/profile").json()["companyName"] == COMPANY["kanzlei"]
    assert flow.candidate is None
    kept = FileStore(NAME).load()
    assert kept is not None
    assert kept.who.company == COMPANY["demo"], "without the tick, what is kept stays"
    assert box.grants.bearer(first["access"]) is not None


def test_threat_10_a_colleague_in_the_same_organisation_is_another_person(
    keeping_flow: Callable[..., LoginFlow], monkeypatch: pytest.MonkeyPatch
) -> None:
    colleague = replace(PEOPLE["demo"], id="colleague", subject="9", name="Kim Beispiel", email="kim@muster.example")
    monkeypatch.setitem(PEOPLE, "colleague", colleague)
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    other(flow, "colleague")
    said = card(flow)["problem"]["what"]
    assert f"Erika Muster ({COMPANY['demo']})" in said
    assert f"Kim Beispiel ({COMPANY['demo']})" in said


def test_the_same_person_is_not_asked_again(keeping_flow: Callable[..., LoginFlow]) -> None:
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    assert browse(allow(flow.link))[0] == 200
    assert flow.state == "signed_in"


def test_threat_10_the_page_in_the_browser_sends_the_person_back_to_the_notebook(
    keeping_flow: Callable[..., LoginFlow],
) -> None:
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    status, page = browse(allow(flow.link, "kanzlei"))
    assert status == 200
    assert "The notebook is finishing the sign-in" in page


def test_threat_10_refusing_revokes_and_gives_a_fresh_link(
    keeping_flow: Callable[..., LoginFlow], box: Sandbox
) -> None:
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    token = other(flow)
    assert box.grants.bearer(token) is not None
    flow.refuse_account()
    eventually(lambda: flow.state == "waiting" and flow.link)
    assert box.grants.bearer(token) is None
    assert (flow.asks, flow.session.signed_in, flow.candidate) == ("callback", False, None)
    assert browse(allow(flow.link, "demo"))[0] == 200
    assert flow.session.account.company == COMPANY["demo"]


def test_threat_10_closing_revokes(keeping_flow: Callable[..., LoginFlow], box: Sandbox) -> None:
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    token = other(flow)
    flow.close()
    eventually(lambda: box.grants.bearer(token) is None)
    assert not flow.session.signed_in
    flow.use_account()
    time.sleep(0.2)
    assert (flow.state, flow.session.signed_in) == ("closed", False)


def test_threat_10_closing_while_the_code_is_exchanged_revokes(
    keeping_flow: Callable[..., LoginFlow], box: Sandbox
) -> None:
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    box.settings.slow = 1.0
    before = sum(r.path == "/connect/revoke" for r in box.requests)
    flow.paste(Secret(allow(flow.link, "kanzlei")))
    eventually(lambda: flow.state == "exchanging")
    flow.close()
    eventually(lambda: sum(r.path == "/connect/revoke" for r in box.requests) == before + 2)
    assert (flow.state, flow.session.signed_in, flow.candidate) == ("closed", False, None)


def test_threat_10_a_late_callback_does_not_take_the_question_away(keeping_flow: Callable[..., LoginFlow]) -> None:
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    callback = allow(flow.link, "kanzlei")
    assert browse(callback)[0] == 200
    flow.answer(Secret(callback))
    flow.answer(Secret(callback), caught=True)
    assert (flow.state, flow.asks, bool(flow.candidate)) == ("waiting", "account", True)


def test_threat_10_the_same_variable_with_force_is_asked_about_too(
    in_a_notebook: InteractiveShell, box: Sandbox
) -> None:
    in_a_notebook.run_line_magic("lexoffice_login", "")
    flow = sign_in._sign_ins["lexoffice"].flow
    eventually(lambda: flow.state == "waiting")
    assert browse(allow(flow.link))[0] == 200
    in_a_notebook.run_line_magic("lexoffice_login", "--force")
    flow = sign_in._sign_ins["lexoffice"].flow
    eventually(lambda: flow.state == "waiting")
    other(flow)
    assert not in_a_notebook.user_ns["lexoffice"].signed_in
    assert not is_kept(NAME)


def test_threat_10_with_the_tick_the_former_account_is_replaced_only_after_the_word(
    keeping_flow: Callable[..., LoginFlow], box: Sandbox
) -> None:
    first = remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True))
    tick(flow)
    other(flow)
    kept = FileStore(NAME).load()
    assert kept is not None
    assert kept.who.company == COMPANY["demo"]
    flow.use_account()
    eventually(lambda: flow.state == "signed_in")
    kept = FileStore(NAME).load()
    assert kept is not None
    assert kept.who.company == COMPANY["kanzlei"]
    assert box.grants.bearer(first["access"]) is None


def test_threat_10_a_key_of_another_organisation_is_asked_about_too(
    keeping_flow: Callable[..., LoginFlow], box: Sandbox
) -> None:
    remember(keeping_flow())
    flow = keeping_flow(Keeping(fresh=True), api_key=True)
    flow.try_key(Secret(box.make_api_key("kanzlei")))
    assert (flow.state, flow.asks) == ("waiting", "account")
    assert not flow.session.signed_in


def test_threat_10_where_nobody_is_there_it_is_refused_and_revoked(
    keeping_flow: Callable[..., LoginFlow], box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(keeping_flow())
    monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", "kanzlei")
    before = sum(r.path == "/connect/revoke" for r in box.requests)
    with pytest.raises(LexofficeError) as refused:
        login("scripted", force=True)
    assert refused.value.code == "account_other"
    assert COMPANY["demo"] in refused.value.what()
    assert COMPANY["kanzlei"] in refused.value.what()
    eventually(lambda: sum(r.path == "/connect/revoke" for r in box.requests) == before + 2)
    assert is_kept(NAME)


@pytest.mark.parametrize(("said", "used"), [("yes", True), ("ja", True), ("", False)])
def test_threat_10_a_terminal_asks_as_well(
    said: str, used: bool, keeping_flow: Callable[..., LoginFlow], capsys: pytest.CaptureFixture[str]
) -> None:
    remember(keeping_flow())
    flow = LoginFlow(SignInRequest(loopback=False), keeping=Keeping(fresh=True))
    asked: list[str] = []

    def read(prompt: str, _: object) -> Secret:
        asked.append(prompt)
        return Secret(said if "yes" in prompt else allow(flow.link, "kanzlei"))

    try:
        if used:
            assert sign_in_terminal(flow, read).account.company == COMPANY["kanzlei"]
        else:
            with pytest.raises(LexofficeError) as refused:
                sign_in_terminal(flow, read)
            assert refused.value.code == "account_other"
            assert not flow.session.signed_in
    finally:
        flow.close()
        flow.session.logout()
    assert len(asked) == 2
    assert COMPANY["kanzlei"] in capsys.readouterr().out


# --- the keyring ------------------------------------------------------------------------------------------------------

IN_THE_KEYRING = """
import json, time
from lexoffice_nb.notebook.card import card
from lexoffice_nb.notebook.login_flow import LoginFlow
from lexoffice_nb.notebook.sign_in_request import SignInRequest
from lexoffice_nb.sandbox.person import sign_in as allow
from lexoffice_nb.oauth.tokens import Secret
flow = LoginFlow(SignInRequest(loopback=False))
flow.prepare()
if flow.state == "waiting":
    flow.want_remembered(True)
    while not flow.place:
        time.sleep(0.02)
    hint = card(flow)["remember"]["hint"]
    flow.answer(Secret(allow(flow.link)))
else:
    hint = ""
assert flow.state == "signed_in", (flow.state, flow.problem)
tokens = flow.session.tokens
print(json.dumps({
    "hint": hint,
    "rows": card(flow)["rows"],
    "problem": flow.problem and flow.problem.code,
    "secrets": [tokens.access_token.reveal(), tokens.refresh_token.reveal()],
    "company": flow.session.get("/v1/profile").json()["companyName"],
}))
flow.close()
"""


@pytest.fixture(scope="module")
def keyring() -> Iterator[KeyringSession]:
    with KeyringSession() as session:
        yield session


@pytest.mark.usefixtures("box")
def test_where_there_is_a_keyring_the_card_names_it_and_no_file_has_a_token(
    keyring: KeyringSession, homes: dict[str, str], accounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(keyring.environment, "XDG_DATA_HOME", homes["XDG_DATA_HOME"])
    shown = []
    for _ in range(2):
        done = keyring.python("-c", IN_THE_KEYRING)
        assert done.returncode == 0, done.stderr
        shown.append(json.loads(done.stdout))
    first, second = shown
    assert "in the system's keyring (" in first["hint"]
    assert "Until " in first["hint"]
    assert "in the system's keyring (" in str(first["rows"])
    assert first["problem"] is None
    assert (second["hint"], second["company"]) == ("", COMPANY["demo"]), "without a click"
    assert second["secrets"] == first["secrets"]
    assert list(accounts.glob("*.json"))
    assert written(homes, dict(enumerate(first["secrets"]))) == set()


# --- two notebooks at a time ------------------------------------------------------------------------------------------


def test_a_second_notebook_is_signed_in_with_no_click(new_kernel: Callable[..., Kernel], box: Sandbox) -> None:
    first, second = new_kernel(), new_kernel()
    card_of_first = first.sign_in()
    card_of_first.link()
    card_of_first.say({"kind": "remember", "on": True})
    shown = card_of_first.when(lambda c: (c["remember"] or {}).get("on") and "Until" in c["remember"]["hint"])
    assert browse(allow(shown["link"]["href"]))[0] == 200
    card_of_first.state("signed_in")
    said = second.run(
        "%load_ext lexoffice_nb\n%lexoffice_login\nprint(lexoffice.get('/v1/profile').json()['companyName'])"
    )
    assert COMPANY["demo"] in said
    assert "used without a click" in second.run("%lexoffice_status")
    first.run("%lexoffice_logout")
