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
    """Gives a secret variable; None where it is missing or empty."""
    value = os.environ.get(variable)
    return Secret(value) if value else None
