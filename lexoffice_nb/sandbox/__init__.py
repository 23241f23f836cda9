"""A lexoffice on this machine: authorization server, sign-in pages, REST API and invented books.

It imports nothing else of this package, so that it can judge the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.app import Sandbox
    from lexoffice_nb.sandbox.settings import RequestRecord, SandboxSettings

__all__ = ["RequestRecord", "Sandbox", "SandboxSettings"]


def __getattr__(name: str) -> Any:
    # Lazy, so that a kernel which only looks for a running sandbox does not import Flask.
    if name == "Sandbox":
        from lexoffice_nb.sandbox.app import Sandbox

        return Sandbox
    if name in ("SandboxSettings", "RequestRecord"):
        from lexoffice_nb.sandbox import settings

        return getattr(settings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
