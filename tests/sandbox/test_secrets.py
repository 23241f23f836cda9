"""Where secrets are not: on disk, in records, in logs, in the seed."""

from __future__ import annotations

import hashlib
import hmac
import logging
import stat
from dataclasses import FrozenInstanceError, asdict

import pytest
import requests

from lexoffice_nb.sandbox import Sandbox, SandboxSettings
from lexoffice_nb.sandbox.person import sign_in
from lexoffice_nb.sandbox.process import find_or_start, stop


def everything_secret(client, read) -> list[str]:
    """Signs in, renews, makes a key; returns every secret that was seen on the way."""
    location = client.open(client.link()).headers["Location"]
    code = read(sign_in(client.link()))["code"]
    first = client.exchange(code).json()
    second = client.refresh(first["refresh_token"]).json()
    key = client.box.make_api_key() if isinstance(client.box, Sandbox) else first["access_token"]
    for token in (second["access_token"], key):
        client.api("/v1/profile", token)
    client.open(f"/v1/profile?access_token={key}")
    client.exchange("x", grant_type=second["refresh_token"], client_id=second["access_token"])
    cookies = [cookie.value for cookie in client.http.cookies]
    assert cookies
    secrets = [code, client.verifier, key, location.split("=")[1], *cookies]
    return secrets + [each[name] for each in (first, second) for name in ("access_token", "refresh_token", "id_token")]


def test_no_secret_is_in_any_file_of_the_sandbox(own, read, tmp_path):
    secrets = everything_secret(own, read)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert {"grants.sqlite3", "signing-key.json"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_no_secret_is_in_the_records_and_they_say_who_asked_for_what(own, read):
    secrets = everything_secret(own, read)
    records = own.box.requests
    for record in records:
        assert not [secret for secret in secrets if secret in str(asdict(record))], record
        assert "?" not in record.path
    exchange = next(each for each in records if each.path == "/connect/token")
    assert (exchange.method, exchange.status) == ("POST", 200)
    assert (exchange.grant_type, exchange.client_id) == ("authorization_code", "lexoffice-nb")
    wrong = [each for each in records if each.path == "/connect/token"][-1]
    assert (wrong.grant_type, wrong.client_id) == ("unknown", "unknown")
    assert [each.authorised_as for each in records if each.path == "/v1/profile"] == ["demo", "demo", None]
    with pytest.raises(FrozenInstanceError):
        records[0].status = 0  # type: ignore[misc]


def test_no_secret_is_logged_even_when_the_host_logs_everything(own, read, caplog, capfd):
    for name in (None, "authlib", "authlib.oauth2.rfc6749.grants.authorization_code", "werkzeug"):
        caplog.set_level(logging.DEBUG, name)
    secrets = everything_secret(own, read)
    own.open("/connect/authorize?client_id=%FF")
    ours = [record for record in caplog.records if not record.name.startswith("urllib3")]  # that is the test itself
    output = "".join(capfd.readouterr()) + "\n".join(record.getMessage() for record in ours)
    assert not [secret for secret in secrets if secret in output]


def test_no_secret_is_in_the_log_of_the_process(client, read, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    folder = tmp_path / "data"
    address = find_or_start(folder=folder)
    try:
        monkeypatch.setattr(client, "box", address)
        secrets = everything_secret(client, read)
    finally:
        stop(folder=folder)
    for path in folder.iterdir():
        assert not [secret for secret in secrets if secret.encode() in path.read_bytes()], path


def test_threat_38_equal_seeds_give_different_keys_codes_tokens_and_cookies(tmp_path, own, read):
    with Sandbox(data_dir=tmp_path / "other", settings=SandboxSettings(seed=1)) as other, requests.Session() as http:
        assert own.box.settings.seed == other.settings.seed
        assert own.box.ledger.invoices == other.ledger.invoices
        twin = type(own)(other, http)
        assert not set(everything_secret(own, read)) & set(everything_secret(twin, read))
        assert own.open("/connect/jwks").json() != twin.open("/connect/jwks").json()
        assert own.box.instance != other.instance


def test_two_sandboxes_in_one_browser_keep_separate_sign_ins(tmp_path, own):
    with Sandbox(data_dir=tmp_path / "other") as other, requests.Session() as browser:
        for box in (own.box, other):
            browser.get(f"{box.url}/sign-in")
        assert len({cookie.name for cookie in browser.cookies}) == 2


def test_grants_port_and_key_survive_a_restart(tmp_path, client_of):
    with requests.Session() as http:
        with Sandbox(data_dir=tmp_path / "data") as box:
            client = client_of(box, http)
            tokens, url, jwks = client.tokens(), box.url, client.open("/connect/jwks").json()
        with Sandbox(data_dir=tmp_path / "data") as box:
            client = client_of(box, http)
            assert box.url == url
            assert client.open("/connect/jwks").json() == jwks
            assert client.api("/v1/profile", tokens["access_token"]).ok
            assert client.refresh(tokens["refresh_token"]).ok
            assert client.refresh(tokens["refresh_token"]).status_code == 400


def test_no_request_can_change_the_switches(own):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for path in ("/sandbox/settings", "/sandbox", "/sandbox/identity", "/settings"):
            own.http.request(method, own.box.url + path, json={"drop_scopes": ["openid"]})
    assert own.box.settings == SandboxSettings()


def test_the_identity_answers_a_nonce_with_a_proof_and_tells_nothing_else(own, tmp_path):
    secret = (tmp_path / "data" / "identity-secret").read_text()
    nonce = "n" * 43
    answer = own.open(f"/sandbox/identity?nonce={nonce}").json()
    expected = hmac.new(secret.encode(), f"{nonce}|{own.box.url}".encode(), hashlib.sha256).hexdigest()
    assert answer == {"proof": expected}
    for refused in ("", "?nonce=", "?nonce=short", "?nonce=" + "n" * 129, f"?nonce={'n' * 42}%7C"):
        response = own.open(f"/sandbox/identity{refused}")
        assert response.status_code == 400
        assert own.box.instance not in response.text
