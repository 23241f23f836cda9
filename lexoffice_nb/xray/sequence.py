"""A sequence diagram as a list of plain shapes: where everything stands is decided here, in Python alone.

    drawing = layout([Message("browser", "notebook", "Callback", "GET /callback")], {"browser": "Browser", …})
    drawing.shapes      # ("line", {"x1": 84, …}), ("text", {"x": 90, …}, "Callback"), …: plain data, good for JSON
    svg(drawing)        # the same as SVG text, escaped

A script draws the same list with `createElementNS` and `textContent`. Tags and attributes are of a short list, so that
no text can become an element, an address or a script. Colours come by class from `STYLE`; where a place drops it
(GitHub), each shape still has `currentColor`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Attributes: TypeAlias = "dict[str, str | int]"
Shape: TypeAlias = "tuple[str, Attributes] | tuple[str, Attributes, str]"

TAGS = frozenset({"line", "rect", "circle", "path", "text"})
ATTRIBUTES = frozenset(
    {
        *("class", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "width", "height", "d"),
        *("fill", "stroke", "stroke-width", "stroke-dasharray", "text-anchor", "font-size", "font-family"),
        *("font-weight", "data-step"),
    }
)
WIDTH = 640
KINDS = ("seen", "unseen", "failed", "attack")

_HEAD = 30  # height of a lane's head, and what a second line adds
_BEYOND = 56  # so far a path may reach beyond the lanes, both sides together
_MOST_LINES = 3  # of a label
_TOP = 6
_BADGE = 9  # radius
_LINE = 15  # from one line of a label to the next
_LETTER, _BOLD, _MONO = 6.3, 8.4, 6.05  # widths on average, at the sizes below, of a wide font
_SIZE, _SMALL = 12, 10
_GAP = 22  # between two messages
_SANS = "system-ui, sans-serif"
_CODE = "monospace"


@dataclass(frozen=True)
class Message:
    """One arrow of the diagram, or a note where both ends are the same lane.

    Attributes:
        sender: the lane that it comes from.
        receiver: the lane that it goes to.
        label: what it is, in words.
        detail: what a machine would say, in one short line; more lines for a note, parted by a line feed.
        answer: what came back, or empty.
        kind: `seen`, `unseen` (concluded; a dotted arrow), `failed` or `attack`.
        refused: whether the answer is a refusal.
    """

    sender: str
    receiver: str
    label: str
    detail: str = ""
    answer: str = ""
    kind: str = "seen"
    refused: bool = False


@dataclass(frozen=True)
class Drawing:
    """A diagram: its size, its shapes, and the same in words for who hears it."""

    width: int
    height: int
    title: str
    words: str
    shapes: tuple[Shape, ...]


def layout(messages: Sequence[Message], lanes: Mapping[str, str], *, title: str = "", words: str = "") -> Drawing:
    """Places the messages one below the other.

    Args:
        messages: in order; numbered from 1.
        lanes: what each lane is called, from left to right; two to four of them.
        title: what the diagram is called.
        words: what it says, for screen readers.

    Raises:
        ValueError: if a message is of a lane that is not there, or of an unknown kind.
    """
    canvas = _Canvas(lanes)
    for number, message in enumerate(messages, 1):
        if not {message.sender, message.receiver} <= set(lanes) or message.kind not in KINDS:
            raise ValueError(f"no such lane or kind: {message.sender}, {message.receiver}, {message.kind}")
        canvas.message(number, message)
    return Drawing(WIDTH, canvas.end(), title, words, tuple(canvas.behind + canvas.shapes))


class _Canvas:
    def __init__(self, lanes: Mapping[str, str]) -> None:
        self.lanes = dict(lanes)
        self.span = WIDTH // len(self.lanes)
        self.centre = {lane: self.span * n + self.span // 2 for n, lane in enumerate(self.lanes)}
        self.behind: list[Shape] = []
        self.shapes: list[Shape] = []
        self.width = min(self.span - 8, 206)
        self.names = {lane: wrapped(name, (self.width - 8) / _BOLD, 2) for lane, name in self.lanes.items()}
        self.head = _HEAD + (_LINE if any(len(lines) > 1 for lines in self.names.values()) else 0)
        self.y = _TOP + self.head + 20
        self.step = 0

    # --- the parts ---

    def message(self, number: int, message: Message) -> None:
        self.step = number
        if message.sender == message.receiver:
            self._note(number, message)
        else:
            self._arrow(number, message)
        self.y += _GAP

    def _arrow(self, number: int, message: Message) -> None:
        start, end = self.centre[message.sender], self.centre[message.receiver]
        way = 1 if end > start else -1
        width = abs(end - start) - 34
        middle = (start + end) // 2 + way * 4
        for line in wrapped(message.label, width / _LETTER):
            self._text(middle, self.y, line, "label")
            self.y += _LINE
        if message.detail:
            room = min(abs(end - start) + _BEYOND, 2 * min(middle, WIDTH - middle) - 8)
            self._text(middle, self.y - 1, shortened(message.detail, room / _MONO), "detail")
            self.y += _LINE - 1
        y = self.y - 3
        self._line(start, end, y, way, _look(message), "1.5 4" if message.kind == "unseen" else "")
        self._badge(start, y, number, message.kind)
        self.y = y + 4
        if message.answer:
            mark = "failed" if message.refused else "answer"
            words = f"✗ {message.answer}" if message.refused else message.answer
            self.y += 15
            self._text(middle - way * 8, self.y, shortened(words, (width + 26) / _MONO), f"detail {mark}")
            self.y += 8
            if message.kind != "failed":
                self._line(end, start, self.y, -way, mark, dashes="5 4")
            self.y += 3
        self.y += _LINE - 6

    def _line(self, start: int, end: int, y: int, way: int, look: str, dashes: str = "") -> None:
        shape: Attributes = {
            "class": f"lxo-seq-line lxo-seq-{look}",
            "x1": start,
            "y1": y,
            "x2": end - way * 7,
            "y2": y,
        }
        stroke: Attributes = {"stroke": "currentColor", "stroke-width": "1.5"}
        self._add("line", shape | stroke | ({"stroke-dasharray": dashes} if dashes else {}))
        head = f"M{end - way * 9} {y - 5}L{end - way} {y}L{end - way * 9} {y + 5}Z"
        self._add("path", {"class": f"lxo-seq-tip lxo-seq-{look}", "d": head, "fill": "currentColor"})

    def _badge(self, x: int, y: int, number: int, kind: str) -> None:
        mark = {"failed": " lxo-seq-failed", "attack": " lxo-seq-attack"}.get(kind, "")
        circle: Attributes = {"class": f"lxo-seq-badge{mark}", "cx": x, "cy": y, "r": _BADGE, "fill": "none"}
        self._add("circle", {**circle, "stroke": "currentColor"})
        self._add("text", _lettering("number", x, y + 4, _SMALL) | {"font-weight": "600"}, str(number))

    def _note(self, number: int, message: Message) -> None:
        centre = self.centre[message.sender]
        widest = min(self.span + 40, 2 * centre - 12, 2 * (WIDTH - centre) - 12)
        label = wrapped(message.label, (widest - 44) / _LETTER)
        details = [shortened(each, (widest - 44) / _MONO) for each in message.detail.split("\n") if each]
        needed = max([len(line) * _LETTER for line in label] + [len(line) * _MONO for line in details])
        width = round(min(widest, needed + 44))
        height = 14 + _LINE * len(label) + (_LINE - 1) * len(details)
        left, top = centre - width // 2, self.y - _LINE
        mark = " lxo-seq-failed" if message.kind == "failed" else ""
        box: Attributes = {"x": left, "y": top, "width": width, "height": height, "rx": 5}
        self._add("rect", {"class": f"lxo-seq-note{mark}", **box, "fill": "none", "stroke": "currentColor"})
        y = top + _LINE + 5
        for line in label:
            self._text(centre + 6, y, line, "label inside")
            y += _LINE
        for line in details:
            self._text(centre + 6, y - 1, line, "detail inside")
            y += _LINE - 1
        self._badge(left, top + height // 2, number, message.kind)
        self.y = top + height + _LINE - 5

    def end(self) -> int:
        """Draws the lanes behind it all, with their heads above; gives the height."""
        bottom = self.y - 6
        for lane, centre in self.centre.items():
            mark = f" lxo-seq-lane-{lane}" if lane.isascii() and lane.isalpha() else ""
            line: Attributes = {"x1": centre, "y1": _TOP + self.head, "x2": centre, "y2": bottom}
            self.behind.append(
                ("line", {"class": f"lxo-seq-life{mark}", **line, "stroke": "currentColor", "stroke-width": "1"})
            )
            box: Attributes = {
                "x": centre - self.width // 2,
                "y": _TOP,
                "width": self.width,
                "height": self.head,
                "rx": 5,
            }
            self.behind.append(
                ("rect", {"class": f"lxo-seq-head{mark}", **box, "fill": "none", "stroke": "currentColor"})
            )
            y = _TOP + 5 + (self.head - _LINE * (len(self.names[lane]) - 1)) // 2
            for name in self.names[lane]:
                words = _lettering("name", centre, y, _SIZE + 1) | {"font-weight": "600"}
                self.behind.append(("text", words, name))
                y += _LINE
        return bottom + 8

    # --- one shape ---

    def _text(self, x: int, y: int, words: str, look: str) -> None:
        is_mono = look.startswith("detail")
        half = round(len(words) * (_MONO if is_mono else _LETTER)) // 2 + 3
        if "inside" not in look and any(abs(x - centre) < half for centre in self.centre.values()):
            # What reaches across a lane's line is parted from it.
            back: Attributes = {"x": x - half, "y": y - 11, "width": 2 * half, "height": _LINE, "fill": "none"}
            self._add("rect", {"class": "lxo-seq-back", **back})
        self._add("text", _lettering(look, x, y, _SMALL if is_mono else _SIZE, _CODE if is_mono else _SANS), words)

    def _add(self, tag: str, attributes: Attributes, words: str | None = None) -> None:
        attributes = {**attributes, "data-step": self.step}
        self.shapes.append((tag, attributes) if words is None else (tag, attributes, words))


def _lettering(look: str, x: int, y: int, size: int, family: str = _SANS) -> Attributes:
    classes = " ".join(f"lxo-seq-{each}" for each in look.split())
    place: Attributes = {"class": classes, "x": x, "y": y, "text-anchor": "middle"}
    return place | {"font-size": size, "font-family": family, "fill": "currentColor"}


def _look(message: Message) -> str:
    return {"seen": "sent", "unseen": "unseen", "failed": "failed", "attack": "attack"}[message.kind]


def wrapped(words: str, room: float, most: int = _MOST_LINES) -> list[str]:
    """Breaks words into a few lines; what has no room in them ends with an ellipsis."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    lines[most - 1 :] = [" ".join(lines[most - 1 :])] if len(lines) >= most else []
    return [_cut(line, room) for line in lines]


def _cut(words: str, room: float) -> str:
    return words if len(words) <= room else words[: max(1, int(room) - 1)].rstrip() + "…"


def shortened(words: str, room: float) -> str:
    """Takes the middle out of what has no room: the end of a path says more than its middle."""
    most = max(4, int(room))
    if len(words) <= most:
        return words
    begin = (most - 1) // 2
    return f"{words[:begin]}…{words[len(words) - (most - 1 - begin) :]}"


def svg(drawing: Drawing) -> str:
    """Writes a drawing as SVG text, for HTML. Everything is escaped.

    Raises:
        ValueError: if a shape has a tag or an attribute that is not of the list.
    """
    name = hashlib.sha256(f"{drawing.title}\n{drawing.words}".encode("utf-8", "replace")).hexdigest()[:10]
    shapes = "".join(_written(shape) for shape in drawing.shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lxo-seq" role="img" viewBox="0 0 {drawing.width} '
        f'{drawing.height}" width="{drawing.width}" height="{drawing.height}" '
        f'aria-labelledby="lxo-t{name}" aria-describedby="lxo-d{name}">'
        f'<title id="lxo-t{name}">{_text(drawing.title)}</title><desc id="lxo-d{name}">{_text(drawing.words)}</desc>'
        f"{shapes}</svg>"
    )


def _written(shape: Shape) -> str:
    tag, attributes = shape[0], shape[1]
    if tag not in TAGS or not ATTRIBUTES.issuperset(attributes) or (len(shape) == 3) != (tag == "text"):
        raise ValueError(f"no shape of ours: {tag}")
    pairs = "".join(f' {name}="{_text(str(value))}"' for name, value in attributes.items())
    return f"<{tag}{pairs}>{_text(shape[2])}</{tag}>" if len(shape) == 3 else f"<{tag}{pairs}/>"


def _text(words: str) -> str:
    return escape("".join(c for c in words if c.isprintable()).encode("utf-8", "replace").decode())


COLOURS = """
.lxo-xray,.lxo-seq{--lxo-surface:var(--jp-layout-color1,#fff);--lxo-tint:var(--jp-layout-color2,#f2f2f2);\
--lxo-text:var(--jp-ui-font-color1,rgba(0,0,0,.87));--lxo-soft:var(--jp-ui-font-color2,#616161);\
--lxo-edge:var(--jp-border-color1,#bdbdbd);--lxo-line:var(--jp-border-color2,#e0e0e0);\
--lxo-brand:var(--jp-brand-color1,#1976d2);--lxo-badge:#1565c0;--lxo-danger:#c62828;\
--lxo-error:var(--jp-error-color1,#d32f2f);\
--lxo-code:var(--jp-code-font-family,menlo,consolas,"DejaVu Sans Mono",monospace);\
--lxo-sans:var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",helvetica,arial,sans-serif);\
--lxo-note:color-mix(in srgb,#ffb300 10%,var(--lxo-surface));\
--lxo-note-edge:color-mix(in srgb,#ffb300 55%,var(--lxo-surface))}
@media (prefers-color-scheme:dark){.lxo-xray,.lxo-seq{--lxo-surface:var(--jp-layout-color1,#212121);\
--lxo-tint:var(--jp-layout-color2,#333);--lxo-text:var(--jp-ui-font-color1,rgba(255,255,255,.87));\
--lxo-soft:var(--jp-ui-font-color2,#b0b0b0);--lxo-edge:var(--jp-border-color1,#616161);\
--lxo-line:var(--jp-border-color2,#424242);--lxo-brand:var(--jp-brand-color1,#64b5f6);\
--lxo-error:var(--jp-error-color1,#ef7770)}}
@media print{.lxo-xray,.lxo-seq{--lxo-surface:#fff;--lxo-tint:#f2f2f2;--lxo-text:#000;--lxo-soft:#444;--lxo-edge:#888;\
--lxo-line:#ccc;--lxo-brand:#0d47a1;--lxo-error:#b71c1c;print-color-adjust:exact}}
@media (forced-colors:active){.lxo-xray,.lxo-seq{--lxo-text:CanvasText;--lxo-soft:CanvasText;--lxo-brand:CanvasText;\
--lxo-error:CanvasText;--lxo-surface:Canvas;--lxo-tint:Canvas;--lxo-note:Canvas}}
"""
"""JupyterLab's colours where there are any; else by the reader's preference, on paper, and with forced colours."""

STYLE = (
    COLOURS
    + """
.lxo-seq{display:block;width:100%;height:auto;max-width:640px;color:var(--lxo-text)}
.lxo-seq text{font-family:var(--lxo-sans);fill:var(--lxo-text)}
.lxo-seq .lxo-seq-label,.lxo-seq .lxo-seq-detail{paint-order:stroke;stroke:var(--lxo-surface);stroke-width:4px;\
stroke-linejoin:round}
.lxo-seq text.lxo-seq-inside{stroke:none}
.lxo-seq .lxo-seq-detail{font-family:var(--lxo-code);fill:var(--lxo-soft)}
.lxo-seq .lxo-seq-detail.lxo-seq-failed{fill:var(--lxo-error)}
.lxo-seq .lxo-seq-back{fill:var(--lxo-surface)}
.lxo-seq .lxo-seq-life{stroke:var(--lxo-edge)}
.lxo-seq .lxo-seq-head{fill:var(--lxo-tint);stroke:var(--lxo-edge)}
.lxo-seq .lxo-seq-line{stroke:var(--lxo-brand)}
.lxo-seq .lxo-seq-tip{fill:var(--lxo-brand)}
.lxo-seq .lxo-seq-line.lxo-seq-answer{stroke:var(--lxo-soft)}
.lxo-seq .lxo-seq-tip.lxo-seq-answer{fill:var(--lxo-soft)}
.lxo-seq .lxo-seq-line.lxo-seq-unseen{stroke-linecap:round}
.lxo-seq .lxo-seq-line.lxo-seq-failed,.lxo-seq .lxo-seq-line.lxo-seq-attack{stroke:var(--lxo-error)}
.lxo-seq .lxo-seq-tip.lxo-seq-failed,.lxo-seq .lxo-seq-tip.lxo-seq-attack{fill:var(--lxo-error)}
.lxo-seq .lxo-seq-badge{fill:var(--lxo-badge);stroke:var(--lxo-surface);stroke-width:2px}
.lxo-seq .lxo-seq-badge.lxo-seq-failed,.lxo-seq .lxo-seq-badge.lxo-seq-attack{fill:var(--lxo-danger)}
.lxo-seq .lxo-seq-number{fill:#fff;stroke:none}
.lxo-seq .lxo-seq-note{fill:var(--lxo-note);stroke:var(--lxo-note-edge)}
.lxo-seq .lxo-seq-note.lxo-seq-failed{stroke:var(--lxo-error)}
.lxo-seq .lxo-seq-head.lxo-seq-lane-attacker{stroke:var(--lxo-error)}
.lxo-seq .lxo-seq-life.lxo-seq-lane-attacker{stroke:var(--lxo-error);stroke-dasharray:2 4}
"""
)
"""All that a diagram needs to look as it should, wherever it stands: it has its own variables."""
