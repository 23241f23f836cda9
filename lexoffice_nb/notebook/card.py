"""The card as data: what its view is told at every change. Pure, and without a secret."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lexoffice_nb.oauth.transport import ca_bundle, proxy_host
from lexoffice_nb.receipt import provider_title, scope_lines
from lexoffice_nb.texts import current_language, text

if TYPE_CHECKING:
    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.receipt import Receipt

_ICONS = {
    "ready": "busy",
    "waiting": "waiting",
    "exchanging": "busy",
    "signed_in": "ok",
    "failed": "error",
    "closed": "warn",
    "signed_out": "warn",
}
# There is nobody to ask yet, or any more: no rows, no link.
_BARE = ("ready", "closed", "signed_out")


def card(flow: LoginFlow) -> dict[str, Any]:
    """Gives the whole card for a flow as it stands, in the person's language."""
    # Read first: a card that mixes two moments must not count as the newer one.
    version = flow.version
    # Taken once: the session may be signed out in another thread while this is drawn.
    receipt = flow.session.receipt() if flow.state == "signed_in" else None
    state = "signed_out" if receipt and not receipt.signed_in else str(flow.state)
    return {
        "kind": "card",
        "version": version,
        "lang": current_language(),
        # A card whose session was signed out later must not go on saying that somebody is signed in.
        "state": "closed" if state == "signed_out" else state,
        "title": text("card.title.key" if flow.request.api_key else "card.title", provider=_provider(flow)),
        "status": {"icon": _icon(flow, state), "text": _status(flow, state)},
        "rows": [asdict(row) for row in receipt.rows()] if state == "signed_in" and receipt else _rows(flow, state),
        "scopes": _scopes(flow, state, receipt),
        "link": _link(flow, state),
        "box": _box(flow, state),
        "problem": {"what": flow.problem.what(), "next": flow.problem.next()} if flow.problem else None,
        "notes": _notes(flow, state),
        "actions": _actions(flow, state),
        "texts": {"disconnected": text("card.disconnected")},
    }


def _provider(flow: LoginFlow) -> str:
    if flow.provider is None:
        name = flow.request.provider
        return provider_title(name, flow.request.issuer or name)
    return provider_title(flow.provider.name, flow.provider.title)


def _icon(flow: LoginFlow, state: str) -> str:
    return "warn" if state == "waiting" and flow.problem else _ICONS[state]


def _status(flow: LoginFlow, state: str) -> str:
    if state == "ready" and flow.request.at_sandbox:
        return text("status.ready.sandbox")
    if state == "waiting" and flow.problem:
        return text("status.refused_open")
    if state == "waiting" and flow.request.api_key:
        return text("status.key")
    return text(f"status.{state}")


def _rows(flow: LoginFlow, state: str) -> list[dict[str, Any]]:
    provider = flow.provider
    if provider is None or state in _BARE:
        return []
    shown = _provider(flow)
    if not provider.shipped:
        shown = text("card.provider.chosen", provider=shown)
    rows = [_row("card.provider", shown)]
    if flow.request.api_key:
        return [*rows, _row("receipt.host", provider.api_base.split("://", 1)[-1], mono=True)]
    client = flow.request.client_id or provider.client_id or ""
    return [_row("card.asked_by", text("card.asked_by.value", client=client)), *rows]


def _row(label: str, value: str, *, mono: bool = False) -> dict[str, Any]:
    return {"label": text(label), "value": value, "mono": mono, "strong": False}


def _scopes(flow: LoginFlow, state: str, receipt: Receipt | None) -> dict[str, Any] | None:
    if flow.request.api_key or flow.provider is None or state in _BARE:
        return None
    asked = flow.request.scopes or flow.provider.scopes
    items = [asdict(line) for line in scope_lines(asked, receipt.granted if receipt else None)]
    return {"label": text("card.scopes"), "items": items}


def _link(flow: LoginFlow, state: str) -> dict[str, Any] | None:
    href = flow.link
    label = "card.link"
    if flow.request.api_key and flow.provider and state in ("waiting", "failed"):
        href, label = flow.provider.key_page or "", "card.key.page"
    if not href or state in ("signed_in", *_BARE):
        return None
    return {
        "href": href,
        "label": text(label),
        "host_label": text("card.link.host"),
        "copy": text("card.copy"),
        "copied": text("card.copied"),
        "copy_failed": text("card.copy_failed"),
    }


def _box(flow: LoginFlow, state: str) -> dict[str, Any] | None:
    if state not in ("waiting", "exchanging", "failed") or flow.provider is None:
        return None
    shared = {"sent": text("card.box.sent"), "too_long": text("card.box.too_long"), "primary": False}
    if flow.request.api_key:
        return {
            **shared,
            "kind": "key",
            "label": text("card.key.box"),
            "hint": text("card.key.hint"),
            "placeholder": "",
            "primary": True,
        }
    if not flow.link:
        return None
    return {
        **shared,
        "kind": "callback",
        "label": text("card.box"),
        "hint": text("card.box.hint" if flow.listening else "card.box.hint.only"),
        "placeholder": text("card.box.placeholder", redirect_uri=flow.redirect_uri),
        "primary": not flow.listening,
    }


def _notes(flow: LoginFlow, state: str) -> list[str]:
    """What stands between this machine and the provider is named before anybody signs in."""
    if flow.provider is None or state not in ("waiting", "failed"):
        return []
    notes = []
    if proxy := proxy_host(flow.provider.token_endpoint):
        notes.append(text("card.proxy", proxy=proxy))
    if (bundle := ca_bundle()) and flow.provider.token_endpoint.startswith("https:"):
        notes.append(text("card.ca", path=bundle))
    if flow.listening and not flow.request.api_key:
        notes.append(text("card.same_tab"))
    return notes


def _actions(flow: LoginFlow, state: str) -> list[dict[str, Any]]:
    if state == "failed" and not flow.link and not (flow.request.api_key and flow.provider):
        return [{"name": "again", "label": text("card.again"), "primary": True}]
    return []
