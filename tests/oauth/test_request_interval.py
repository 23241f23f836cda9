"""How far apart a provider's entry wants two requests to its API."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb.errors import DiscoveryError
from lexoffice_nb.oauth import presets
from lexoffice_nb.oauth.provider import Provider

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = {"name": "x", "title": "X", "api_base": "https://api.example"}


def provider(host: str, **settings: Any) -> Provider:
    return Provider(**FIELDS, authorization_endpoint=f"{host}/authorize", token_endpoint=f"{host}/token", **settings)


def test_where_nothing_is_said_it_is_that_of_lexoffice_and_none_on_this_machine():
    assert provider("https://a.example").request_interval == 0.55
    assert provider("http://127.0.0.1:8000").request_interval == 0.0
    assert provider("http://127.0.0.1:8000", issuer="https://a.example").request_interval == 0.55
    assert provider("https://a.example", issuer="http://localhost:1").request_interval == 0.0


@pytest.mark.parametrize("said", [0.0, 0.2, 60.0])
def test_what_is_said_counts_wherever_it_is(said):
    assert provider("https://a.example", request_interval=said).request_interval == said
    assert provider("http://127.0.0.1:8000", request_interval=said).request_interval == said


def test_it_stays_when_something_else_is_replaced():
    here = provider("http://127.0.0.1:8000", request_interval=0.1)
    assert replace(here, title="Y").request_interval == 0.1


def test_the_shipped_ones_say_it():
    shipped = {name: Provider.preset(name).get("request_interval") for name in presets.shipped()}
    assert shipped == {"sandbox": 0, "lexware": 0.55, "paper": None}


@pytest.mark.parametrize("said", ["nan", "inf", "-inf", "1e400"])
def test_what_is_no_number_of_seconds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str):
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: tmp_path)
    entry = f'[mine]\nissuer = "https://a.example"\nrequest_interval = {said}\n'
    tomllib.loads(entry)
    (tmp_path / "providers.toml").write_text(entry)
    with pytest.raises(DiscoveryError, match="seconds"):
        presets.preset("mine")
