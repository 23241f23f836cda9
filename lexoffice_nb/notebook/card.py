"""The card as data: what its view is told at every change. Pure, and without a secret."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lexoffice_nb.notebook.sign_in_request import LONGEST_HOST, provider_shown, unconfirmed
from lexoffice_nb.oauth.token_store import REMEMBERED
from lexoffice_nb.oauth.transport import Origin, ca_bundle, is_loopback, proxy_host
from lexoffice_nb.receipt import labelled, scope_lines
from lexoffice_nb.texts import current_language, day, from_server, text

if TYPE_CHECKING:
    from lexoffice_nb.notebook.login_flow import LoginFlow
    from lexoffice_nb.receipt import Receipt

_ICONS = {
    "ready": "busy",
    "waiting": "waiting",
    "exchanging": "busy",
    "signed_in": "ok",
    "failed": "error",
    "closed": "info",
    "signed_out": "info",
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
        "title": text(
            "card.title.key" if flow.request.api_key else "card.title",
            provider=_titled(flow),
        ),
        "status": {"icon": _icon(flow, state), "text": _status(flow, state)},
        "rows": _receipt_rows(flow, receipt) if state == "signed_in" and receipt else _rows(flow, state),
        "scopes": _scopes(flow, state, receipt),
        "link": _link(flow, state),
        "box": _box(flow, state),
        "remember": _remember(flow, state),
        "problem": _problem(flow, state),
        "notes": _notes(flow, state),
        "actions": _actions(flow, state),
        "texts": {"disconnected": text("card.disconnected")},
    }


def _titled(flow: LoginFlow) -> str:
    shown = provider_shown(flow.request, flow.provider)
    return labelled(shown, flow.provider.source) if flow.provider else shown


def _problem(flow: LoginFlow, state: str) -> dict[str, str] | None:
    problem = flow.problem
    if state == "waiting" and flow.asks == "confirmation":
        problem = unconfirmed(flow.request)
    if state == "waiting" and flow.asks == "account" and flow.candidate:
        what = text("card.other_account", before=flow.before, now=flow.now)
        return {"what": what, "next": text("card.other_account.next")}
    return {"what": problem.what(), "next": problem.next()} if problem else None


def _icon(flow: LoginFlow, state: str) -> str:
    return "warn" if state == "waiting" and flow.problem else _ICONS[state]


def _status(flow: LoginFlow, state: str) -> str:
    if state == "ready" and flow.request.at_sandbox:
        return text("status.ready.sandbox")
    if state == "waiting" and flow.asks != "callback" and not (flow.problem and flow.asks == "key"):
        return text(f"status.asks.{flow.asks}")
    if state == "waiting" and flow.problem:
        return text("status.refused_open")
    return text(f"status.{state}")


def _rows(flow: LoginFlow, state: str) -> list[dict[str, Any]]:
    provider = flow.provider
    if state == "waiting" and flow.asks == "confirmation":
        host = from_server(flow.request.host, LONGEST_HOST)
        shown = provider_shown(flow.request)
        return [_row("card.provider", shown), _row("card.host", host, mono=True), *_variable(flow)]
    if provider is None or state in _BARE:
        return []
    rows = [_row("card.provider", labelled(provider_shown(flow.request, provider), provider.source))]
    if flow.request.api_key:
        host = from_server(provider.api_base.split("://", 1)[-1], LONGEST_HOST)
        return [*rows, _row("receipt.host", host, mono=True), *_key_rows(flow), *_variable(flow)]
    # The notebook chose the name of the client, or somebody who wrote it did: it is text from outside.
    client = from_server(flow.request.client_id or provider.client_id or "", 60)
    asked_by = text("card.asked_by.value", client=client) if client else text("card.asked_by.plain")
    rows = [_row("card.asked_by", asked_by), *rows]
    if flow.redirect_uri and not is_loopback(flow.redirect_uri):
        rows.append(_row("card.back_to", from_server(Origin.of(flow.redirect_uri).host, LONGEST_HOST), mono=True))
    if provider.code_goes_to:
        rows.append(_row("card.code_goes_to", from_server(provider.code_goes_to, LONGEST_HOST), mono=True))
    return [*rows, *_variable(flow)]


def _receipt_rows(flow: LoginFlow, receipt: Receipt) -> list[dict[str, Any]]:
    return [*(asdict(row) for row in receipt.rows()), *_key_rows(flow), *_variable(flow)]


def _key_rows(flow: LoginFlow) -> list[dict[str, Any]]:
    return [_row("card.scopes", text("card.scopes.key"))] if flow.request.api_key else []


def _variable(flow: LoginFlow) -> list[dict[str, Any]]:
    return [_row("card.variable", flow.variable, mono=True)] if flow.variable else []


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
    if not href or state in ("signed_in", *_BARE) or (state == "waiting" and flow.asks not in ("callback", "key")):
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
    if flow.request.api_key or (state == "waiting" and flow.asks == "client_secret"):
        kind = "key" if flow.request.api_key else "client_secret"
        return {
            **shared,
            "kind": kind,
            "label": text(f"card.{kind}.box"),
            "hint": text(f"card.{kind}.hint"),
            "placeholder": "",
            "primary": True,
        }
    if not flow.link:
        return None
    return {
        **shared,
        "kind": "callback",
        "label": text("card.box"),
        "hint": text(_hint(flow)),
        "placeholder": text("card.box.placeholder", redirect_uri=flow.redirect_uri),
        "primary": not flow.listening,
    }


def _hint(flow: LoginFlow) -> str:
    if flow.listening:
        return "card.box.hint"
    return "card.box.hint.only" if is_loopback(flow.redirect_uri) else "card.box.hint.own"


def _remember(flow: LoginFlow, state: str) -> dict[str, Any] | None:
    """The tick with which a person stays signed in, where it lies and until when."""
    asks = flow.asks if state == "waiting" else "callback" if state == "failed" and flow.link else ""
    if asks not in ("callback", "key"):
        return None
    on = flow.remember and bool(flow.place)
    until = day(datetime.now(UTC) + REMEMBERED)
    hint = text("card.remember.on", until=until, place=flow.place) if on else text("card.remember.off")
    return {"label": text("card.remember"), "hint": hint, "on": flow.remember}


def _notes(flow: LoginFlow, state: str) -> list[str]:
    """What stands between this machine and the provider before anybody signs in; afterwards, what to do next."""
    if state in ("closed", "signed_out"):
        return [text("card.run_again")]
    if state == "signed_in":
        missing = flow.session.receipt().missing()
        less = [text("card.granted_less", scopes=", ".join(missing))] if missing else []
        return [*less, text("card.use", variable=flow.variable)] if flow.variable else less
    if flow.provider is None or state not in ("waiting", "failed"):
        return []
    notes = []
    if not flow.request.api_key and flow.provider.leaves_pkce_open:
        notes.append(text("card.no_s256"))
    if flow.pastes_although_held:
        notes.append(text("card.port_held", who=flow.pastes_although_held))
    if proxy := proxy_host(flow.provider.token_endpoint):
        notes.append(text("card.proxy", proxy=proxy))
    if (bundle := ca_bundle()) and flow.provider.token_endpoint.startswith("https:"):
        notes.append(text("card.ca", path=bundle))
    if flow.listening and not flow.request.api_key:
        notes.append(text("card.same_tab"))
    if flow.link and not flow.request.at_sandbox:
        notes.append(text("card.error_page"))
    return notes


def _actions(flow: LoginFlow, state: str) -> list[dict[str, Any]]:
    if state == "failed" and not flow.link and not (flow.request.api_key and flow.provider):
        return [_action("again", primary=True)]
    if state == "waiting" and flow.asks == "confirmation":
        return [_action("confirm")]
    if state == "waiting" and flow.asks == "port":
        return [_action("again", primary=True), _action("paste_instead")]
    if state == "waiting" and flow.asks == "account" and flow.candidate:
        return [_action("use_account", now=flow.now), _action("refuse_account")]
    return []


def _action(name: str, *, primary: bool = False, **values: str) -> dict[str, Any]:
    return {"name": name, "label": text(f"card.{name}", **values), "primary": primary}
