"""The usual advice for debugging HTTP prints every header and body: not those of this package, which are secrets."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Set before and after the import, since either could be what a cell does.
PROGRAM = """
import contextlib, http.client, io, sys
{before}
from pathlib import Path
import requests
from requests.adapters import HTTPAdapter
from lexoffice_nb import LexofficeLogin, LexofficeSession, Provider
from lexoffice_nb.sandbox import Sandbox
from lexoffice_nb.sandbox.person import sign_in
import urllib3.connection
{after}

class Mine(HTTPAdapter):
    pass

with Sandbox(data_dir=Path(sys.argv[1])) as box:
    provider = Provider.discover(box.url)
    login = LexofficeLogin("lexoffice-nb", "http://127.0.0.1:51234/callback", "openid profile", provider)
    url = login.get_login_url()
    secrets = [login._attempts[-1].verifier.reveal()]
    with contextlib.redirect_stdout(io.StringIO()):
        callback = sign_in(url)  # the person's own program
    secrets += [callback.partition("code=")[2].partition("&")[0]]
    login.handle_callback(callback)
    session = LexofficeSession.from_login(login)
    secrets += [session.tokens.access_token.reveal(), session.tokens.refresh_token.reveal()]
    session.get("/v1/profile")
    session.mount("http://", Mine())
    assert isinstance(session.get_adapter(box.url)._transport, Mine)
    session.get("/v1/profile")
    session.userinfo()
    key = box.make_api_key()
    LexofficeSession.from_api_key(key, provider).close()
    session.logout()
    secrets += [key]
    requests.get(box.url)
    print(*secrets, file=sys.stderr)
"""
SETTINGS = {
    "http.client": "http.client.HTTPConnection.debuglevel = 1",
    "urllib3": "import urllib3.connection; urllib3.connection.HTTPConnection.debuglevel = 1; "
    "http.client.HTTPConnection.debuglevel = 1",
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_debug_level_of_the_standard_library_prints_no_secret(tmp_path, setting):
    program = PROGRAM.format(before=SETTINGS["http.client"], after=setting)
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, timeout=100, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "send:" in ran.stdout, "nothing was printed at all"
    secrets = ran.stderr.split()[-5:]
    assert all(len(secret) >= 20 for secret in secrets)
    assert [secret for secret in secrets if secret in ran.stdout] == []
