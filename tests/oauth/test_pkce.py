"""Proof Key for Code Exchange (RFC 7636)."""

from __future__ import annotations

import re
import secrets

import pytest

from lexoffice_nb.oauth.pkce import code_challenge, new_code_verifier
from lexoffice_nb.oauth.tokens import Secret

VECTORS = {
    # RFC 7636 appendix B
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    # the vendor's documentation
    "oJdaNUDOIK3xpqlkZ79Sa3dLWst2rF5F8EXQVrqWfzckNOPBC67SzNffeTTb54jSpfuSAnawxLgddxbIqXh4APOrKYqhI8W5fXtIytVSgjLlrnMn0AUB5h2O6VD1sTDJ": (  # noqa: E501 - one word
        "9s_XWOy5h9KO8CQCqzRKr3WEntoEJepUZS9d1IYh_uo"
    ),
}


@pytest.mark.parametrize(("verifier", "challenge"), VECTORS.items(), ids=["rfc_7636_appendix_b", "vendor"])
def test_the_challenge_is_that_of_the_published_vectors(verifier: str, challenge: str) -> None:
    assert code_challenge(verifier) == challenge
    assert code_challenge(Secret(verifier)) == challenge


@pytest.mark.case("statement/01-verifier")
def test_a_verifier_has_43_to_128_characters_that_rfc_7636_allows() -> None:
    for _ in range(50):
        assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", new_code_verifier().reveal())


@pytest.mark.case("statement/01-verifier")
def test_a_verifier_comes_from_the_operating_systems_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(secrets, "token_urlsafe", lambda octets: asked.append(octets) or "v" * 86)
    assert new_code_verifier().reveal() == "v" * 86
    assert asked == [64]


def test_no_verifier_comes_twice() -> None:
    assert len({new_code_verifier().reveal() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("verifier", ["", "a" * 42, "a" * 129, "a" * 42 + "+", "a" * 42 + "ä", "a" * 43 + "\n"])
def test_what_is_no_verifier_is_refused_and_not_shown(verifier: str) -> None:
    with pytest.raises(ValueError, match="43 to 128 characters") as caught:
        code_challenge(verifier)
    assert verifier == "" or verifier not in str(caught.value)
