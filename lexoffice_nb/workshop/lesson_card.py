"""What the lesson's view shows, as one message: plain data, in the person's language, without a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lexoffice_nb.oauth.pkce import code_challenge
from lexoffice_nb.oauth.trace import ATTACKER, BROWSER, LANES, NOTEBOOK, Hidden
from lexoffice_nb.texts import clock, current_language, text
from lexoffice_nb.workshop.lesson import CHOICES, EXAMPLE, RIGHT, STEPS, tried
from lexoffice_nb.workshop.words import knows, say
from lexoffice_nb.xray.sequence import Message, layout
from lexoffice_nb.xray.trace import message_of, spoken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lexoffice_nb.errors import LexofficeError
    from lexoffice_nb.oauth.trace import Step
    from lexoffice_nb.workshop.lesson import Lesson

SECRETS = ("code_verifier", "state", "nonce", "code", "access_token", "refresh_token", "id_token")
_BITS = 8 * 64  # our verifiers are 64 octets


def lesson_card(lesson: Lesson, version: int) -> dict[str, Any]:
    """Gives the whole view; JSON, a few kilobytes.

    Args:
        lesson: where the person stands.
        version: grows with each message, so that an older one never replaces a newer one.
    """
    step, number = lesson.step, lesson.at + 1
    done = step in lesson.done
    problem = lesson.problem
    return {
        "kind": "lesson",
        "version": version,
        "lang": current_language(),
        "state": _state(lesson),
        "title": say("lesson"),
        "status": {"icon": _ICONS[_state(lesson)], "text": say(f"lesson.status.{_state(lesson)}")},
        "busy": say("lesson.unanswered"),
        "problem": {"what": problem.what(), "next": _next(lesson, problem)} if problem else None,
        "nav": {"label": say("lesson.steps"), "steps": [_nav(lesson, each) for each in range(len(STEPS))]},
        "heading": say("lesson.step", None, number=number, count=len(STEPS), title=say(f"{step}.title")),
        "intro": say(f"{step}.intro"),
        "predict": _predict(lesson),
        "do": _do(lesson),
        "see": {"label": say("lesson.see"), "blocks": _SEE[step](lesson)} if done or _early(lesson) else None,
        "explain": _explain(step) if done else None,
        "reveal": say("lesson.reveal"),
        "notes": [say("lesson.old_link")] if lesson.renewed_link and step == "sign_in" and not done else [],
        "actions": _actions(lesson),
        "drawing": _drawing(lesson),
    }


_ICONS = {"predict": "info", "do": "waiting", "busy": "busy", "waiting": "waiting", "done": "ok", "end": "ok"}


def _state(lesson: Lesson) -> str:
    if lesson.busy:
        return "busy"
    if lesson.step in lesson.done:
        return "end" if lesson.reached == len(STEPS) and lesson.at == len(STEPS) - 1 else "done"
    if lesson.step not in lesson.chosen:
        return "predict"
    return "waiting" if lesson.step == "sign_in" else "do"


def _next(lesson: Lesson, problem: LexofficeError) -> str:
    return say("lesson.again.next") if lesson.can_sign_in_again else problem.next()


def _early(lesson: Lesson) -> bool:
    return lesson.step == "state" and lesson.forgery is not None


def _nav(lesson: Lesson, number: int) -> dict[str, Any]:
    step = STEPS[number]
    mark = "here" if number == lesson.at else "done" if step in lesson.done else "later"
    return {
        "number": number + 1,
        "title": say(f"{step}.title"),
        "mark": mark,
        "word": say(f"lesson.step.{mark}"),
        "can": number <= lesson.reached,
    }


def _predict(lesson: Lesson) -> dict[str, Any]:
    step = lesson.step
    chosen = lesson.chosen.get(step)
    verdict = None
    if chosen:
        good = chosen == RIGHT[step]
        verdict = {"good": good, "word": say("lesson.right" if good else "lesson.wrong"), "text": say(f"{step}.answer")}
    return {
        "label": say("lesson.predict"),
        "question": say(f"{step}.ask"),
        "options": [{"name": each, "text": say(f"{step}.{each}")} for each in CHOICES],
        "chosen": chosen,
        "right": RIGHT[step] if chosen else None,
        "verdict": verdict,
    }


def _do(lesson: Lesson) -> dict[str, Any] | None:
    step = lesson.step
    if step not in lesson.chosen or (step in lesson.done and step not in ("challenge", "state")):
        return None
    made: dict[str, Any] = {"label": say("lesson.do")}
    if step == "sign_in":
        host = say("sign_in.host")
        made["link"] = {"href": lesson.url, "label": say("sign_in.link"), "host_label": host} if lesson.url else None
    elif step not in lesson.done:
        made["button"] = {"name": "do", "label": say(f"{step}.do")}
    if step == "state":
        made["more"] = {"name": "forge", "label": say("state.forge")}
    if step == "challenge" and step in lesson.done:
        made["try"] = _try(lesson)
    return made


def _try(lesson: Lesson) -> dict[str, Any]:
    given = EXAMPLE if lesson.tried is None else lesson.tried
    result = tried(given)
    if result is None:
        said = [say("challenge.try.bad", None, count=len(given))]
    else:
        differs = say("challenge.try.differs", None, count=result[1])
        said = [say("challenge.try.result", None, challenge=result[0]), differs]
    return {"label": say("challenge.try"), "start": EXAMPLE, "good": result is not None, "said": said}


def _explain(step: str) -> dict[str, Any]:
    source = say("lesson.read", None, source=say(f"{step}.source"))
    return {"label": say("lesson.explain"), "text": say(f"{step}.explain"), "source": source}


def _actions(lesson: Lesson) -> list[dict[str, Any]]:
    if lesson.busy:
        return []
    made = []
    if lesson.can_sign_in_again:
        made.append({"name": "again", "label": say("lesson.again"), "primary": True})
    if lesson.step in lesson.done and lesson.at + 1 < len(STEPS):
        made.append({"name": "next", "label": say("lesson.next"), "primary": True})
    if lesson.at:
        made.append({"name": "back", "label": say("lesson.back"), "primary": False})
    if lesson.done:
        made.append({"name": "restart", "label": say("lesson.restart"), "primary": False})
    return made


# --- what there is to see, step by step -------------------------------------------------------------------------------


def _fact(label: str, value: str, *, mono: bool = True, secret: str = "") -> dict[str, Any]:
    return {"label": label, "value": value, "mono": mono, "secret": secret or None}


def _facts(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "facts", "rows": list(rows)}


def _masked(lesson: Lesson, label: str, name: str) -> dict[str, Any]:
    value = lesson.secret(name)
    return _fact(label, Hidden(name, len(value.reveal())).words() if value else "–", secret=name if value else "")


def _see_verifier(lesson: Lesson) -> list[dict[str, Any]]:
    length = len(lesson.verifier.reveal()) if lesson.verifier else 0
    return [
        _facts(
            _masked(lesson, say("verifier.fact.verifier"), "code_verifier"),
            _fact(say("verifier.fact.length"), say("verifier.fact.length.value", None, count=length), mono=False),
            _fact(say("verifier.fact.entropy"), say("verifier.fact.entropy.value", None, count=_BITS), mono=False),
        )
    ]


def _see_challenge(lesson: Lesson) -> list[dict[str, Any]]:
    challenge = code_challenge(lesson.verifier) if lesson.verifier else "–"
    return [
        _facts(
            _masked(lesson, say("verifier.fact.verifier"), "code_verifier"),
            _fact(say("challenge.fact.challenge"), challenge),
            _fact(say("challenge.fact.method"), "S256"),
        )
    ]


def _see_url(lesson: Lesson) -> list[dict[str, Any]]:
    items = []
    for name, value in lesson.parameters:
        key = name if knows(f"url.{name}") and knows(f"url.{name}.source") else "other"
        secret = name if name in SECRETS else None
        shown = Hidden(name, len(value)).words() if secret else value
        source = say("lesson.read", None, source=say(f"url.{key}.source"))
        items.append({"name": name, "value": shown, "secret": secret, "text": say(f"url.{key}"), "source": source})
    endpoint = lesson.url.partition("?")[0]
    return [
        _facts(_fact(say("url.endpoint"), endpoint)),
        {"kind": "parameters", "label": say("url.parameters"), "items": items},
    ]


def _see_sign_in(lesson: Lesson) -> list[dict[str, Any]]:
    login = lesson.login
    if login is None:
        return []
    where = urlsplit(login.provider.authorization_endpoint)
    return [
        _facts(
            _fact(say("sign_in.fact.where"), f"{where.scheme}://{where.netloc}"),
            _fact(say("sign_in.fact.back"), login.redirect_uri),
        )
    ]


def _see_callback(lesson: Lesson) -> list[dict[str, Any]]:
    return [
        _facts(
            _fact(say("callback.fact.address"), lesson.login.redirect_uri if lesson.login else "–"),
            _masked(lesson, say("callback.fact.code"), "code"),
            _masked(lesson, say("callback.fact.state"), "state"),
            _fact(say("callback.fact.iss"), lesson.came_back.get("iss", "–")),
        )
    ]


def _see_state(lesson: Lesson) -> list[dict[str, Any]]:
    rows = []
    if "state" in lesson.done:
        rows = [
            _masked(lesson, say("state.fact.ours"), "state"),
            _masked(lesson, say("state.fact.theirs"), "state"),
            _fact(say("state.fact.equal"), say("state.fact.equal.value"), mono=False),
        ]
    if lesson.forgery:
        rows.append(_fact(say("state.fact.forged"), lesson.forgery.said, mono=False))
    return [_facts(*rows)]


def _see_exchange(lesson: Lesson) -> list[dict[str, Any]]:
    found = [step for step in lesson.recorded() if step.title == "token"]
    if not found:
        return []
    step = found[-1]
    url = urlsplit(step.url)
    request = [
        f"{step.method} {url.path} HTTP/1.1",
        f"Host: {url.netloc}",
        "Content-Type: application/x-www-form-urlencoded",
        "",
        *_form(step.sent),
    ]
    response = [f"HTTP/1.1 {step.status}", f"Content-Type: {step.content_type}", "", *_json(step.received)]
    return [
        {"kind": "raw", "label": say("lesson.request"), "lines": request},
        {"kind": "raw", "label": say("lesson.response"), "lines": response},
        _facts(*(_masked(lesson, name, name) for name in ("code", "code_verifier", "access_token", "refresh_token"))),
    ]


def _shown(value: str | Hidden) -> str:
    return value.words() if isinstance(value, Hidden) else value


def _written(value: str | Hidden) -> str:
    return value.words() if isinstance(value, Hidden) else value if value.isdigit() else json.dumps(value)


def _form(pairs: Iterable[tuple[str, str | Hidden]]) -> list[str]:
    return [f"{'&' if number else ''}{name}={_shown(value)}" for number, (name, value) in enumerate(pairs)]


def _json(pairs: Iterable[tuple[str, str | Hidden]]) -> list[str]:
    lines = [f'  "{name}": {_written(value)}' for name, value in pairs]
    return ["{", *(f"{line}," for line in lines[:-1]), *lines[-1:], "}"]


def _see_tokens(lesson: Lesson) -> list[dict[str, Any]]:
    tokens = lesson.tokens
    if tokens is None:
        return []
    sent = lesson.secret("nonce")
    nonce = {"nonce": Hidden("nonce", len(sent.reveal())).words()} if sent and "nonce" in tokens.claims else {}
    header, claims = (
        json.dumps(each, indent=2, ensure_ascii=False, default=str).splitlines()
        for each in (lesson.id_token_header, {**tokens.claims, **nonce})
    )
    return [
        _facts(
            _masked(lesson, say("tokens.fact.access"), "access_token"),
            _masked(lesson, say("tokens.fact.refresh"), "refresh_token"),
            _masked(lesson, say("tokens.fact.id"), "id_token"),
            _fact(say("tokens.fact.life"), clock(tokens.expires_at) if tokens.expires_at else "–", mono=False),
            _fact(say("tokens.fact.scope"), " ".join(tokens.scope)),
        ),
        {"kind": "raw", "label": say("tokens.header"), "lines": header},
        {"kind": "raw", "label": say("tokens.claims"), "lines": claims},
    ]


def _see_renewal(lesson: Lesson) -> list[dict[str, Any]]:
    before, tokens = lesson.former_refresh_token, lesson.tokens
    if before is None or tokens is None:
        return []
    changed = "yes" if tokens.refresh_token != before else "no"
    was = Hidden("refresh_token", len(before.reveal())).words()
    return [
        _facts(
            _fact(say("renewal.fact.before"), was),
            _masked(lesson, say("renewal.fact.after"), "refresh_token"),
            _fact(say("renewal.fact.changed"), say(f"renewal.fact.changed.{changed}"), mono=False),
            _fact(say("tokens.fact.life"), clock(tokens.expires_at) if tokens.expires_at else "–", mono=False),
        )
    ]


def _see_revocation(lesson: Lesson) -> list[dict[str, Any]]:
    return [
        _facts(
            _fact(say("revocation.fact.revoked"), say("revocation.fact.revoked.value"), mono=False),
            _fact(say("revocation.fact.api"), f"HTTP {lesson.api_status}"),
        )
    ]


_SEE = {
    "verifier": _see_verifier,
    "challenge": _see_challenge,
    "url": _see_url,
    "sign_in": _see_sign_in,
    "callback": _see_callback,
    "state": _see_state,
    "exchange": _see_exchange,
    "tokens": _see_tokens,
    "renewal": _see_renewal,
    "revocation": _see_revocation,
}


# --- the diagram ------------------------------------------------------------------------------------------------------


def _drawing(lesson: Lesson) -> dict[str, Any]:
    messages: list[Message] = []
    spoken_list: list[str] = []
    steps, attacker = _in_sight(lesson), text("trace.lane.attacker")

    def add(message: Message, words: str) -> None:
        messages.append(message)
        spoken_list.append(words)

    def attack() -> None:
        note = "lesson.attacker.callback"
        add(_attacker(note), f"{attacker}: {say(note)}")
        if lesson.forgery:
            words, said = say("lesson.attacker.forged"), lesson.forgery.code
            add(
                Message(ATTACKER, NOTEBOOK, words, answer=said, kind="attack", refused=True),
                f"{attacker}: {words}, {said}",
            )

    for step in steps:
        message = message_of(step)
        made = step.title == "login_url" and lesson.callback is None  # nobody has asked for it yet
        add(replace(message, detail="") if made else message, spoken(step))
        if step.title == "login_url":
            note = "lesson.attacker.link"
            add(_attacker(note), f"{attacker}: {say(note)}")
        if step.title == "callback":
            attack()
    if lesson.callback and not any(step.title == "callback" for step in steps):
        # It has come, and waits to be judged in step 6: only then it is recorded.
        words = text("trace.step.callback")
        add(Message(BROWSER, NOTEBOOK, words, "GET /callback"), words)
        attack()
    lanes = {lane: text(f"trace.lane.{lane}") for lane in LANES}
    drawing = layout(messages, lanes, title=say("lesson.diagram"), words=say("lesson.diagram.words"))
    return {
        "label": say("lesson.diagram"),
        "words": drawing.words,
        "width": drawing.width,
        "height": drawing.height,
        "shapes": [list(shape) for shape in drawing.shapes],
        "list_label": say("lesson.diagram.list"),
        "list": spoken_list,
        "empty": say("lesson.diagram.empty"),
    }


def _in_sight(lesson: Lesson) -> list[Step]:
    steps = [step for step in lesson.recorded() if step.title != "discovery"]
    links = [step for step in steps if step.title == "login_url"]
    return [step for step in steps if step not in links[:-1]]


def _attacker(key: str) -> Message:
    return Message(ATTACKER, ATTACKER, say(key), kind="attack")
