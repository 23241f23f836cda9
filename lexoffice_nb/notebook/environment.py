"""Reads the environment so that no traceback shows it: `os.environ` may hold keys and secrets."""

from __future__ import annotations

import os

from lexoffice_nb.errors import shielded
from lexoffice_nb.oauth.tokens import Secret


@shielded
def setting(variable: str) -> str | None:
    """Gives a variable that is no secret; None where it is missing or empty."""
    return os.environ.get(variable) or None


@shielded
def secret(variable: str) -> Secret | None:
    """Gives a secret variable; None where it is missing or empty.

    It is taken out of `os.environ`, so that no child process and no `%env` has it, and remembered here.
    """
    value = os.environ.pop(variable, None)
    if value:
        _taken[variable] = Secret(value)
    elif value is not None:
        _taken.pop(variable, None)  # set to nothing: it is not to be used any more
    return _taken.get(variable)


def forget_secrets() -> None:
    """Forgets the secret variables that were taken."""
    _taken.clear()


_taken: dict[str, Secret] = {}
