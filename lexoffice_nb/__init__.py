"""Sign in to a financial API from a notebook (OAuth 2.0 with PKCE, OpenID Connect) and explore invoices there.

    %load_ext lexoffice_nb
    %lexoffice_login

Everything is imported when it is first used, so that loading the extension costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb import errors, workshop
    from lexoffice_nb.books.books import Books
    from lexoffice_nb.notebook.sign_in import login
    from lexoffice_nb.oauth.login import LexofficeLogin
    from lexoffice_nb.oauth.provider import Provider
    from lexoffice_nb.oauth.tokens import Secret, TokenSet
    from lexoffice_nb.session import LexofficeSession

__all__ = [
    "Books",
    "LexofficeLogin",
    "LexofficeSession",
    "Provider",
    "Secret",
    "TokenSet",
    "errors",
    "load_ipython_extension",
    "login",
    "unload_ipython_extension",
    "workshop",
]
__version__ = "0.1.0"

_PLACES = {
    "Books": "lexoffice_nb.books.books",
    "LexofficeLogin": "lexoffice_nb.oauth.login",
    "LexofficeSession": "lexoffice_nb.session",
    "Provider": "lexoffice_nb.oauth.provider",
    "Secret": "lexoffice_nb.oauth.tokens",
    "TokenSet": "lexoffice_nb.oauth.tokens",
    "login": "lexoffice_nb.notebook.sign_in",
}
_MODULES = ("errors", "workshop")


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"lexoffice_nb.{name}")
    raise AttributeError(f"module 'lexoffice_nb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Registers the magics (`%load_ext lexoffice_nb`)."""
    from lexoffice_nb.notebook import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Undoes all of it: magics, sign-ins, listeners, secrets, and the names that are still ours."""
    from lexoffice_nb.notebook import magics

    magics.unload(ipython)
