"""The magics in a real shell, where nobody is there but the scripted person."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from typing import TYPE_CHECKING

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

import lexoffice_nb
from lexoffice_nb.errors import LexofficeError, LoginError, SignedOut
from lexoffice_nb.notebook import sign_in
from lexoffice_nb.notebook.command_line import looks_secret
from lexoffice_nb.notebook.magics import LexofficeMagics
from lexoffice_nb.session import LexofficeSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.sandbox import Sandbox
    from tests.notebook.kernels import Kernel

HEAVY = ("requests", "ipywidgets", "anywidget", "joserfc", "duckdb", "flask", "authlib", "cryptography")


def magics_of(ip: InteractiveShell) -> LexofficeMagics:
    return next(c for c in ip.configurables if isinstance(c, LexofficeMagics))


def refused(ip: InteractiveShell, line: str) -> str:
    """The code of the error that a line ends with."""
    with pytest.raises(LexofficeError) as caught:
        ip.run_line_magic("lexoffice_login", line)
    return caught.value.code


def exchanges(box: Sandbox) -> int:
    return sum(r.grant_type == "authorization_code" for r in box.requests)


# --- loading ----------------------------------------------------------------------------------------------------------


def test_loading_prints_nothing_and_gives_nothing(ip: InteractiveShell, capfd: pytest.CaptureFixture[str]) -> None:
    assert ip.run_line_magic("load_ext", "lexoffice_nb") is None
    assert lexoffice_nb.load_ipython_extension(ip) is None  # type: ignore[func-returns-value]
    assert capfd.readouterr() == ("", "")


def test_loading_twice_and_under_a_second_name_registers_once(
    loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = types.ModuleType("lexoffice_again")
    alias.load_ipython_extension = lexoffice_nb.load_ipython_extension  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lexoffice_again", alias)
    loaded.run_line_magic("load_ext", "lexoffice_nb")
    loaded.run_line_magic("load_ext", "lexoffice_again")
    assert sum(isinstance(c, LexofficeMagics) for c in loaded.configurables) == 1
    ours = [m for m in loaded.Completer.custom_matchers if "lexoffice" in getattr(m, "matcher_identifier", "")]
    assert len(ours) == 1
    loaded.run_line_magic("unload_ext", "lexoffice_nb")
    assert not [m for m in loaded.Completer.custom_matchers if m in ours]


def test_loading_imports_nothing_heavy() -> None:
    program = f"""
import sys, json
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
before = set(sys.modules)
shell.run_line_magic("load_ext", "lexoffice_nb")
print(json.dumps([name for name in {HEAVY} if name in set(sys.modules) - before]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (json.loads(done.stdout), done.stderr) == ([], "")


# --- signing in -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_demo", "box")
def test_the_login_puts_an_authenticated_session_into_the_notebook(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run_cell("%lexoffice_login")
    session = loaded.user_ns["lexoffice"]
    assert isinstance(session, LexofficeSession)
    assert session.get("/v1/profile").json()["companyName"] == "Muster & Söhne GmbH"
    assert "Signed in: Muster & Söhne GmbH" in capsys.readouterr().out


@pytest.mark.usefixtures("as_demo", "box")
def test_another_name_can_be_chosen(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("lexoffice_login", "tax --scope openid profile")
    assert loaded.user_ns["tax"].tokens.scope == ("openid", "profile")
    assert "lexoffice" not in loaded.user_ns


@pytest.mark.usefixtures("as_demo")
def test_a_variable_of_the_persons_is_not_overwritten_and_nothing_is_sent(
    loaded: InteractiveShell, box: Sandbox
) -> None:
    loaded.user_ns["lexoffice"] = "mine"
    before = len(box.requests)
    assert refused(loaded, "") == "name_taken"
    assert loaded.user_ns["lexoffice"] == "mine"
    assert len(box.requests) == before
    loaded.run_line_magic("lexoffice_login", "--force")
    assert loaded.user_ns["lexoffice"].signed_in


@pytest.mark.usefixtures("as_demo", "box")
def test_a_session_that_the_person_made_is_a_variable_of_the_persons(loaded: InteractiveShell) -> None:
    loaded.user_ns["mine"] = LexofficeSession()
    assert refused(loaded, "mine") == "name_taken"
    loaded.run_line_magic("lexoffice_login", "")
    loaded.user_ns["alias"] = loaded.user_ns["lexoffice"]
    assert refused(loaded, "alias") == "name_taken"


@pytest.mark.usefixtures("as_demo")
def test_running_the_cell_again_is_harmless_and_force_begins_anew(loaded: InteractiveShell, box: Sandbox) -> None:
    loaded.run_cell("%lexoffice_login")
    first, before = loaded.user_ns["lexoffice"], len(box.requests)
    access = first.tokens.access_token.reveal()
    loaded.run_cell("%lexoffice_login")
    assert loaded.user_ns["lexoffice"] is first
    assert len(box.requests) == before
    loaded.run_cell("%lexoffice_login --force")
    second = loaded.user_ns["lexoffice"]
    assert second is not first
    assert second.signed_in
    assert not first.signed_in
    assert box.grants.bearer(access) is None, "nothing could have reached it any more"
    assert exchanges(box) >= 2


@pytest.mark.usefixtures("as_demo", "box")
def test_other_wishes_do_not_replace_a_session_that_is_signed_in(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    first = loaded.user_ns["lexoffice"]
    capsys.readouterr()
    loaded.run_cell("%lexoffice_login --scope openid")
    shown = capsys.readouterr().out.strip().splitlines()
    assert len(shown) == 2
    assert "lexoffice is signed in already, as Muster & Söhne GmbH at Sandbox on this machine" in shown[0]
    assert "--force" in shown[1]
    assert loaded.user_ns["lexoffice"] is first
    assert first.signed_in
    loaded.run_line_magic("lexoffice_login", "--scope openid --force")
    assert loaded.user_ns["lexoffice"] is not first
    assert not first.signed_in


@pytest.mark.usefixtures("as_demo", "box")
def test_where_the_callback_is_caught_does_not_matter_once_somebody_is_signed_in(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    first = loaded.user_ns["lexoffice"]
    loaded.run_line_magic("config", "LexofficeMagics.loopback = False")
    loaded.run_line_magic("lexoffice_login", "")
    assert loaded.user_ns["lexoffice"] is first


@pytest.mark.usefixtures("as_demo", "box")
def test_a_sign_in_by_force_that_fails_leaves_the_former_session(
    loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", "nobody")
    assert refused(loaded, "--force") == "scripted_person"
    assert loaded.user_ns["lexoffice"].signed_in


@pytest.mark.usefixtures("box")
def test_with_nobody_there_it_fails_at_once_and_says_what_to_set(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    result = loaded.run_cell("%lexoffice_login")
    assert isinstance(result.error_in_exec, LexofficeError)
    shown = capsys.readouterr().out.strip().splitlines()
    assert len(shown) == 2
    assert "LEXOFFICE_API_KEY" in shown[1]
    assert "LEXOFFICE_SANDBOX_PERSON=demo" in shown[1]
    assert "lexoffice" not in loaded.user_ns


@pytest.mark.usefixtures("box")
def test_a_person_whom_the_sandbox_does_not_know_is_named(
    loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXOFFICE_SANDBOX_PERSON", "nobody")
    assert refused(loaded, "") == "scripted_person"


def test_a_key_of_the_environment_signs_in_where_nobody_is_there(
    loaded: InteractiveShell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXOFFICE_API_KEY", box.make_api_key())
    loaded.run_line_magic("lexoffice_login", "")
    assert loaded.user_ns["lexoffice"].kind == "key"


def test_a_key_of_the_environment_is_not_sent_to_an_issuer_that_the_notebook_names(
    loaded: InteractiveShell, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXOFFICE_API_KEY", box.make_api_key())
    before = len(box.requests)
    assert refused(loaded, f"--api-key --issuer {box.url}") == "signed_out_no_person"
    assert refused(loaded, f"--issuer {box.url}") == "signed_out_no_person"
    assert len(box.requests) == before


def test_an_unknown_provider_is_refused_with_the_known_ones(
    loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(loaded, "--provider nobody") == "unknown_provider"
    monkeypatch.setenv("LEXOFFICE_API_KEY", "key-for-nobody")
    assert refused(loaded, "--provider nobody") == "unknown_provider"
    monkeypatch.setenv("LEXOFFICE_PROVIDER", "foo")
    assert refused(loaded, "") == "unknown_provider"


@pytest.mark.usefixtures("box")
def test_a_wrong_key_of_the_environment_says_what_to_set_anew(
    loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXOFFICE_API_KEY", "not-a-key-of-anybody")
    with pytest.raises(LoginError, match=r"set LEXOFFICE_API_KEY anew.*LEXOFFICE_PROVIDER=lexware"):
        loaded.run_line_magic("lexoffice_login", "")


@pytest.mark.usefixtures("as_demo", "box")
def test_without_interaction_what_is_signed_in_is_given_in_silence(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    capsys.readouterr()
    assert lexoffice_nb.login(interactive=False) is loaded.user_ns["lexoffice"]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("loaded", "box")
def test_without_interaction_and_without_a_sign_in_it_raises() -> None:
    with pytest.raises(SignedOut):
        lexoffice_nb.login(interactive=False)


@pytest.mark.usefixtures("loaded", "box")
def test_a_sign_in_of_another_account_is_never_given_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("LEXOFFICE_SANDBOX_PERSON", "demo")
        lexoffice_nb.login()
    with pytest.raises(LoginError, match="lexoffice is signed in already"):
        lexoffice_nb.login(provider="lexware", interactive=False)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch):
    """Gives what a line asks for; nobody is there, so it ends right afterwards."""
    seen: list[LoginFlow] = []
    real = sign_in._new_flow

    def note(*arguments: object) -> LoginFlow:
        seen.append(real(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(sign_in, "_new_flow", note)

    def ask(line: str):
        with pytest.raises(LexofficeError):
            loaded.run_line_magic("lexoffice_login", line)
        return seen[-1].request

    return ask


def test_an_argument_goes_before_config_before_the_environment_before_the_default(
    asked, loaded: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked("").client_id is None
    monkeypatch.setenv("LEXOFFICE_CLIENT_ID", "of-the-environment")
    assert asked("").client_id == "of-the-environment"
    loaded.run_line_magic("config", "LexofficeMagics.client_id = 'of-config'")
    assert asked("").client_id == "of-config"
    assert asked("--client-id of-the-line").client_id == "of-the-line"


def test_ipython_config_goes_before_the_environment_and_behind_the_config_magic(
    ip: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEXOFFICE_PROVIDER", "of-the-environment")
    ip.config.LexofficeMagics.provider = "of-the-file"
    ip.run_line_magic("load_ext", "lexoffice_nb")
    assert magics_of(ip).provider == "of-the-file"
    monkeypatch.setenv("LEXOFFICE_API_KEY", "k")
    with pytest.raises(LexofficeError, match="'of-the-file'"):
        ip.run_line_magic("lexoffice_login", "")
    ip.run_line_magic("config", "LexofficeMagics.provider = 'of-config'")
    with pytest.raises(LexofficeError, match="'of-config'"):
        ip.run_line_magic("lexoffice_login", "")


def test_a_provider_on_the_line_goes_before_a_configured_issuer(asked, loaded: InteractiveShell) -> None:
    loaded.run_line_magic("config", "LexofficeMagics.issuer = 'https://configured.example'")
    assert asked("").issuer == "https://configured.example"
    request = asked("--provider lexware")
    assert (request.provider, request.issuer) == ("lexware", None)


def test_an_address_is_taken_as_it_stands(asked, loaded: InteractiveShell) -> None:
    loaded.user_ns["x"] = "expanded"
    assert asked("--redirect-uri http://127.0.0.1:1/{x}/$x").redirect_uri == "http://127.0.0.1:1/{x}/$x"


@pytest.mark.parametrize(("trait", "value"), [("port", 8765), ("loopback", False)])
def test_where_the_callback_is_caught_can_be_configured(
    asked, loaded: InteractiveShell, trait: str, value: object
) -> None:
    loaded.run_line_magic("config", f"LexofficeMagics.{trait} = {value}")
    assert getattr(asked(""), trait) == value


def test_the_configured_language_is_spoken_and_auto_leaves_the_browsers(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run_line_magic("config", "LexofficeMagics.language = 'de'")
    loaded.run_line_magic("lexoffice_status", "")
    assert "Niemand ist angemeldet" in capsys.readouterr().out
    loaded.run_line_magic("config", "LexofficeMagics.language = 'auto'")
    loaded.run_line_magic("lexoffice_status", "")
    assert "Nobody is signed in" in capsys.readouterr().out


def test_every_setting_has_a_help(loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    loaded.run_line_magic("config", "LexofficeMagics")
    shown = capsys.readouterr().out
    for name in ("provider", "issuer", "client_id", "redirect_uri", "scopes", "loopback", "port", "language", "store"):
        assert f"LexofficeMagics.{name}=" in shown
        assert magics_of(loaded).trait_metadata(name, "help")


def test_a_key_in_the_place_of_an_issuer_is_not_repeated(loaded: InteractiveShell) -> None:
    assert refused(loaded, f"--issuer {HEX_KEY}") == "secret_in_cell"


@pytest.mark.parametrize("issuer", ["http://localhost:41387", "http://localhost:41387/a/b", "https://[::1]:41387"])
def test_an_address_on_this_machine_is_no_key(asked, loaded: InteractiveShell, issuer: str) -> None:
    assert asked(f"--issuer {issuer}").issuer == issuer


@pytest.mark.parametrize(
    "scopes", ["openid,profile", "openid, profile", "openid ,profile", "openid profile", ",openid,,profile,"]
)
def test_scopes_may_stand_between_commas(asked, loaded: InteractiveShell, scopes: str) -> None:
    assert asked(f"--scope {scopes}").scopes == ("openid", "profile")


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("magic", ["lexoffice_login", "lexoffice_status", "lexoffice_logout"])
def test_the_help_names_every_option(loaded: InteractiveShell, magic: str) -> None:
    text = loaded.object_inspect_text(f"%{magic}")
    parser = getattr(LexofficeMagics, magic).parser
    for action in parser._actions:
        assert (action.option_strings or [action.metavar])[0] in text
        assert action.help
    assert "::" not in text


def test_the_help_ends_with_the_settings_and_the_environment(loaded: InteractiveShell) -> None:
    last = (LexofficeMagics.lexoffice_login.__doc__ or "").split("\n\n")[-1]
    for name in ("%config LexofficeMagics", "loopback", "port", "language", "LEXOFFICE_PROVIDER", "LEXOFFICE_API_KEY"):
        assert name in last


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--nonsense", "there is no option --nonsense; the options are --provider"),
        ("--provider", "--provider needs a value after it"),
        ("--help", "%lexoffice_login[?] shows the help"),
        ("one two", "too many or unfit arguments .*; right is %lexoffice_login"),
        ("--terminal=yes", "too many or unfit arguments"),
        ("'open", "a quotation mark is missing"),
        ("--provider sandbox --issuer https://a.example", "exclude each other"),
    ],
)
def test_a_line_that_cannot_be_understood_is_a_usage_error(loaded: InteractiveShell, line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        loaded.run_line_magic("lexoffice_login", line)


def test_an_option_of_a_magic_that_has_none_is_said_so(loaded: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="no option --x; this magic takes none"):
        loaded.run_line_magic("lexoffice_status", "--x")


@pytest.mark.parametrize("magic", ["lexoffice_login", "lexoffice_logout"])
def test_the_help_has_the_name_before_the_options(loaded: InteractiveShell, magic: str) -> None:
    """After `--scope a b` it would be taken for a scope."""
    usage = (getattr(LexofficeMagics, magic).__doc__ or "").partition("\n\n")[0]
    assert f"%{magic} [NAME] [--" in usage
    assert usage.count("[NAME]") == 1
    with pytest.raises(UsageError, match=rf"right is %{magic} \[NAME\] \[--"):
        loaded.run_line_magic(magic, "one two")


KEY = "Zk3-9fQx_77aLm2PpWq8RtYv0BnCxDs1"
HEX_KEY = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    "line",
    [
        f"--api-key {KEY}",
        f"--api-key={KEY}",
        f"--api-key {HEX_KEY}",
        f"{HEX_KEY}",
        f"{HEX_KEY} --api-key",
        f"--key {KEY}",
        f"--apikey={KEY}",
        f"--client-secret {KEY}",
        f"--client-secret={KEY}",
        f"--secret {KEY}",
        f"--token {KEY}",
    ],
)
def test_a_secret_on_the_line_is_refused_with_the_reason_and_not_repeated(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    result = loaded.run_cell(f"%lexoffice_login {line}")
    assert isinstance(result.error_in_exec, LexofficeError)
    assert result.error_in_exec.code == "secret_in_cell"
    shown = capsys.readouterr()
    assert "never belongs into a cell" in shown.out
    assert "LEXOFFICE_API_KEY" in shown.out
    assert KEY not in shown.out + shown.err
    assert HEX_KEY not in shown.out + shown.err


@pytest.mark.parametrize("line", [f"name {KEY}", f"--{KEY}", f"--force={KEY}", KEY, f"--scope a --api-key b {KEY}"])
def test_whatever_else_a_secret_is_taken_for_it_is_not_repeated(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert loaded.run_cell(f"%lexoffice_login {line}").error_in_exec is not None
    shown = capsys.readouterr()
    assert KEY not in shown.out + shown.err
    assert shown.out + shown.err


@pytest.mark.parametrize("name", ["lexoffice", "tax", "mandant_mueller_2024", "books_of_muster_und_soehne", "s1"])
def test_a_name_that_a_person_would_choose_is_no_secret(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize("name", ["a-b", "1st", "class", "_private", "a.b"])
def test_what_cannot_be_a_name_is_refused(loaded: InteractiveShell, name: str) -> None:
    assert refused(loaded, name) == "name_invalid"


@pytest.mark.parametrize("name", ["print", "list", "type"])
def test_a_name_of_pythons_own_is_refused(loaded: InteractiveShell, name: str) -> None:
    assert refused(loaded, f"{name} --force") == "name_builtin"


# --- status and log-out -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_demo", "box")
def test_the_status_says_who_is_signed_in_until_when(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run_line_magic("lexoffice_status", "")
    assert capsys.readouterr().out == "Nobody is signed in. Start with %lexoffice_login.\n"
    loaded.run_line_magic("lexoffice_login", "")
    loaded.run_line_magic("lexoffice_login", "other")
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_status", "")
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line in ("lexoffice", "other")] == ["lexoffice", "other"]
    assert shown.count("Signed in: Muster & Söhne GmbH at Sandbox on this machine, access until") == 2
    assert shown.count("Kept: in this kernel's memory only") == 2


def test_the_status_names_a_sign_in_that_waits_and_a_log_out_of_another_name_does_too(
    loaded: InteractiveShell,
    new_flow: Callable[..., LoginFlow],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flow = new_flow()
    flow.prepare()
    monkeypatch.setitem(sign_in._sign_ins, "mandant1", sign_in._SignIn(flow.request, flow))
    loaded.run_line_magic("lexoffice_status", "")
    assert capsys.readouterr().out == "mandant1: a sign-in to Sandbox on this machine is waiting for its answer.\n"
    loaded.run_line_magic("lexoffice_logout", "")
    assert "Signed in or waiting: mandant1." in capsys.readouterr().out


@pytest.mark.usefixtures("as_demo")
def test_the_log_out_revokes_refresh_then_access_and_drops_the_name(
    loaded: InteractiveShell, box: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    session = loaded.user_ns["lexoffice"]
    access, before = session.tokens.access_token.reveal(), len(box.requests)
    assert box.grants.bearer(access) is not None
    loaded.run_line_magic("lexoffice_logout", "")
    assert [r.path for r in box.requests[before:]] == ["/connect/revoke"] * 2
    assert box.grants.bearer(access) is None
    assert "lexoffice" not in loaded.user_ns
    assert not session.signed_in
    assert "the provider has revoked the tokens" in capsys.readouterr().out


@pytest.mark.usefixtures("as_demo", "box")
def test_the_log_out_leaves_a_name_that_is_not_ours_any_more(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    session = loaded.user_ns["lexoffice"]
    loaded.user_ns["lexoffice"] = "mine now"
    loaded.run_line_magic("lexoffice_logout", "")
    assert not session.signed_in
    assert loaded.user_ns["lexoffice"] == "mine now"


@pytest.mark.usefixtures("as_demo", "box")
@pytest.mark.case("statement/30-out")
def test_the_log_out_clears_what_ipython_remembers(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    for cell in (
        "lexoffice",
        "lexoffice.tokens",
        "lexoffice.tokens.access_token",
        "[lexoffice, 1]",
        "{'a': lexoffice}",
    ):
        loaded.run_cell(cell, store_history=True)
    loaded.run_cell("6 * 7", store_history=True)
    loaded.run_cell("lexoffice", store_history=True)
    session = loaded.user_ns["lexoffice"]
    kept = {n for n in loaded.user_ns if n[0] == "_" and n[1:].isdigit()}
    assert len(kept) == 7
    loaded.run_cell("%lexoffice_logout", store_history=True)
    assert list(loaded.user_ns["Out"].values()) == [42]
    assert [loaded.user_ns[n] for n in loaded.user_ns if n[0] == "_" and n[1:].isdigit()] == [42]
    left = [loaded.user_ns[n] for n in ("_", "__", "___")]
    assert session not in left
    assert not [value for value in left if "Secret" in repr(value)]
    assert not [n for n, value in loaded.user_ns_hidden.items() if value is session or "Secret" in repr(value)]
    loaded.run_cell("1 + 1", store_history=True)
    assert [loaded.user_ns[n] for n in ("_", "__", "___")] == [2, "", 42]


@pytest.mark.usefixtures("as_demo", "box")
def test_after_the_log_out_the_login_begins_anew(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("lexoffice_login", "")
    first = loaded.user_ns["lexoffice"]
    loaded.run_line_magic("lexoffice_logout", "")
    loaded.run_line_magic("lexoffice_login", "")
    assert loaded.user_ns["lexoffice"] is not first
    assert loaded.user_ns["lexoffice"].signed_in


def test_the_log_out_of_a_key_says_that_the_key_stays_good(
    loaded: InteractiveShell, box: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEXOFFICE_API_KEY", box.make_api_key())
    loaded.run_line_magic("lexoffice_login", "")
    loaded.run_line_magic("lexoffice_logout", "")
    assert "the key itself stays good until you delete it" in capsys.readouterr().out


@pytest.mark.usefixtures("as_demo", "box")
def test_the_log_out_of_another_name_says_which_names_are_signed_in(
    loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.run_line_magic("lexoffice_login", "mandant1")
    loaded.run_line_magic("lexoffice_login", "mandant2")
    capsys.readouterr()
    loaded.run_line_magic("lexoffice_logout", "")
    shown = capsys.readouterr().out
    assert "lexoffice is no session here. Signed in or waiting: mandant1, mandant2." in shown
    assert "Nobody" not in shown
    assert loaded.user_ns["mandant1"].signed_in


def test_the_log_out_of_nobody_says_so(loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    loaded.run_line_magic("lexoffice_logout", "")
    assert "Nobody is signed in" in capsys.readouterr().out


# --- completion -------------------------------------------------------------------------------------------------------


def completed(ip: InteractiveShell, line: str) -> list[str]:
    with provisionalcompleter():
        found = list(ip.Completer.completions(line, len(line)))
    begins = {line[completion.start :] for completion in found}
    assert all(completion.text.startswith(begun) for completion in found for begun in begins)
    return [completion.text for completion in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%lexoffice_login --prov", ["--provider"]),
        ("%lexoffice_login --provider ", ["sandbox", "lexware", "paper"]),
        ("%lexoffice_login --provider lex", ["lexware"]),
        ("%lexoffice_login --api-key --provider s", ["sandbox"]),
        ("%lexoffice_login --scope invoice", ["invoice.read"]),
        ("%lexoffice_login --scope openid pro", ["profile"]),
        ("%lexoffice_login --provider lexware --scope pay", ["payments.read"]),
        ("%lexoffice_login --provider=lexware --scope pay", ["payments.read"]),
        ("%lexoffice_login --provider=pa", ["paper"]),
        ("%lexoffice_login --provider=", ["sandbox", "lexware", "paper"]),
        ("%lexoffice_login --scope openid,pro", ["profile"]),
        ("%lexoffice_login --scope=openid,pro", ["profile"]),
        ("%lexoffice_login --scope openid,", ["profile", "invoice.read", "contact.read"]),
        ("%lexoffice_login --pro", ["--provider", "--profile"]),
        ("%lexoffice_login --scope openid --pro", ["--provider", "--profile"]),
        ("x = 1\n%lexoffice_login --ter", ["--terminal"]),
        ("    %lexoffice_login --ter", ["--terminal"]),
        ("%lexoffice_login lex", ["lexoffice"]),
        ("lexoffice_login --ter", ["--terminal"]),
    ],
)
def test_lines_are_completed(loaded: InteractiveShell, line: str, expected: list[str]) -> None:
    assert completed(loaded, line) == expected


def test_every_option_is_completed_once(loaded: InteractiveShell) -> None:
    options = [o for action in LexofficeMagics.lexoffice_login.parser._actions for o in action.option_strings]
    assert completed(loaded, "%lexoffice_login --") == options
    assert completed(loaded, "%lexoffice_login --force --") == [o for o in options if o != "--force"]


@pytest.mark.parametrize("line", ["lexoffice_login.pro", "pro", "%lexoffice_log", "x = '%lexoffice_login --pro"])
def test_lines_of_python_are_left_to_ipython(loaded: InteractiveShell, line: str) -> None:
    assert not [text for text in completed(loaded, line) if text.startswith("--")]


def test_the_name_of_a_magic_is_left_to_ipython(loaded: InteractiveShell) -> None:
    assert "lexoffice" not in completed(loaded, "%lexoffice_login")


def test_a_scope_with_signs_in_it_is_completed_whole(
    loaded: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: tmp_path)
    entry = '[my-bank]\nissuer = "https://issuer.invalid"\nscopes = ["bank:accounts:read", "https://a.example/all"]\n'
    (tmp_path / "providers.toml").write_text(entry)
    (tmp_path / "providers.toml").chmod(0o600)
    line = "%lexoffice_login --provider my-bank --scope "
    assert completed(loaded, f"{line}bank:acc") == ["bank:accounts:read"]
    assert completed(loaded, f"{line}bank:accounts:read,https:") == ["https://a.example/all"]


@pytest.fixture(scope="module")
def kernel(new_kernel: Callable[..., Kernel]) -> Kernel:
    kernel = new_kernel()
    kernel.run("%load_ext lexoffice_nb")
    return kernel


@pytest.mark.parametrize("jedi", [True, False])
@pytest.mark.parametrize(
    ("line", "begun", "expected"),
    [
        ("%lexoffice_login --pro", "--pro", ["--provider", "--profile"]),
        ("%lexoffice_login --provider=pa", "pa", ["paper"]),
        ("%lexoffice_login --provider pa", "pa", ["paper"]),
        ("%lexoffice_login --provider ", "", ["sandbox", "lexware", "paper"]),
        ("%lexoffice_login --scope openid,pro", "pro", ["profile"]),
        ("x = 1\n%lexoffice_login --ter", "--ter", ["--terminal"]),
        ("%lexoffice_login --", "--", None),
    ],
)
def test_in_a_kernel_the_options_come_alone(
    kernel: Kernel, jedi: bool, line: str, begun: str, expected: list[str] | None
) -> None:
    kernel.run(f"%config IPCompleter.use_jedi = {jedi}")
    found = kernel.client.complete(line, len(line), reply=True, timeout=30)["content"]
    options = [o for action in LexofficeMagics.lexoffice_login.parser._actions for o in action.option_strings]
    assert found["matches"] == (expected or options)
    assert line[found["cursor_start"] : found["cursor_end"]] == begun


@pytest.mark.usefixtures("as_demo", "box")
def test_names_of_sessions_are_completed(loaded: InteractiveShell) -> None:
    loaded.run_line_magic("lexoffice_login", "tax")
    loaded.user_ns["taxi"] = "no session"
    assert completed(loaded, "%lexoffice_logout ta") == ["tax"]
    assert completed(loaded, "%lexoffice_login ") == ["tax", "lexoffice"]
