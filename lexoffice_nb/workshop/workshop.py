"""The workshop: begins exercises, checks them, gives hints and solutions, and remembers how far one has come."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from lexoffice_nb.workshop.checks import NUMBERS, Half, judge
from lexoffice_nb.workshop.exercises import EXERCISES
from lexoffice_nb.workshop.page import Block, Line, Page
from lexoffice_nb.workshop.scene import Exercise
from lexoffice_nb.workshop.words import WorkshopError, knows, say
from lexoffice_nb.workshop.world import World

if TYPE_CHECKING:
    from lexoffice_nb.workshop.world import State

_HINTS = 3
_SOLUTIONS = Path(__file__).parent / "solutions"


@dataclass(frozen=True, repr=False)
class Verdict(Page):
    """What the log shows of an exercise, tick by tick.

    Attributes:
        number: The exercise.
        off: The half with the defence off, where the attack has to succeed.
        on: The half with the defence on, where it has to fail.
    """

    number: int
    off: Half
    on: Half

    @property
    def solved(self) -> bool:
        """Whether both halves are done."""
        return self.off.done and self.on.done

    @property
    def missing(self) -> list[str]:
        """What still has to happen, in words, in order."""
        return [self._words(half, tick.key) for half in (self.off, self.on) for tick in half.ticks if not tick.done]

    def _words(self, half: Half, key: str) -> str:
        return say(f"tick.{self.number}.{'on' if half.defence else 'off'}.{key}")

    def _title(self) -> str:
        return say("check", number=self.number)

    def _verdict(self) -> Line:
        if self.solved:
            return Line(say("check.solved"), done=True)
        half = self._first_missing()
        if half is None:
            return Line(say("check.half.off" if self.off.done else "check.half.on"), done=False)
        first = next(tick for tick in half.ticks if not tick.done)
        return Line(say("check.missing", what=self._words(half, first.key)), done=False)

    def _first_missing(self) -> Half | None:
        return next((half for half in (self.off, self.on) if half.begun and not half.done), None)

    def _blocks(self) -> list[Block]:
        blocks = [*self._half(self.off), *self._half(self.on)]
        if self.on.done:
            blocks.append(Block(text=say("check.why", what=say(f"why.{self.number}"))))
            blocks += self._refusal(self.on, "check.log")
        return blocks

    def _half(self, half: Half) -> list[Block]:
        lines = [Line(self._words(half, tick.key), tick.done) for tick in half.ticks]
        blocks = [Block(say("check.on" if half.defence else "check.off"), lines=lines)]
        if half.done:
            return blocks
        if not half.begun:
            # With the defence on is what comes second; until then its list is enough.
            ready = self.off.done or not half.defence
            begin = say("check.begin_on" if half.defence else "check.begin_off", number=self.number)
            return [*blocks, Block(text=begin)] if ready else blocks
        if half is not self._first_missing():  # of that one, the first line has said it
            first = next(tick for tick in half.ticks if not tick.done)
            blocks.append(Block(text=say("check.missing", what=self._words(half, first.key))))
        blocks += [Block(text=say(f"note.{note}", number=self.number)) for note in half.notes]
        return blocks + self._refusal(half, "check.refusal")

    @staticmethod
    def _refusal(half: Half, key: str) -> list[Block]:
        if half.refusal is None:
            return []
        where, status, error = half.refusal
        place = say(f"where.{where}" if knows(f"where.{where}") else "where.other")
        return [Block(text=say(key, where=place, status=status, error=error))]


@dataclass(frozen=True, repr=False)
class Hint(Page):
    """One of three hints for an exercise, from vague to nearly the code.

    Attributes:
        number: The exercise.
        which: 1, 2 or 3.
    """

    number: int
    which: int

    def _title(self) -> str:
        return say("hint", number=self.number, which=self.which)

    def _blocks(self) -> list[Block]:
        words = say(f"hint.{self.number}.{self.which}")
        if self.which < _HINTS:
            return [Block(text=words), Block(text=say("hint.more", number=self.number))]
        return [*_steps(words), Block(text=say("hint.last", number=self.number))]


def _steps(words: str) -> list[Block]:
    """A last hint: code that can be copied as it stands, and between it, in lines that begin with #, words."""
    steps = []
    for are_words, lines in groupby(words.splitlines(), lambda line: line.startswith("# ")):
        if are_words:
            steps.append(Block(text=" ".join(line.removeprefix("# ") for line in lines)))
        else:
            steps.append(Block(code="\n".join(lines)))
    return steps


@dataclass(frozen=True, repr=False)
class Solution(Page):
    """The model solution of an exercise: real code, which the tests run.

    Attributes:
        number: The exercise.
    """

    number: int

    @property
    def code(self) -> str:
        """Its source."""
        return (_SOLUTIONS / f"{EXERCISES[self.number].name}.py").read_text("utf-8")

    def attack(self, exercise: Exercise) -> None:
        """Carries it out."""
        importlib.import_module(f"lexoffice_nb.workshop.solutions.{EXERCISES[self.number].name}").attack(exercise)

    def _title(self) -> str:
        return say("solution", number=self.number)

    def _blocks(self) -> list[Block]:
        return [Block(code=self.code), Block(text=say("solution.next", number=self.number))]


@dataclass(frozen=True, repr=False)
class Progress(Page):
    """How far one has come.

    Attributes:
        halves: What was judged so far, by exercise and whether the defence was on.
    """

    halves: dict[tuple[int, bool], Half]

    @property
    def solved(self) -> list[int]:
        """The exercises of which both halves are done."""
        return [n for n in NUMBERS if all((n, on) in self.halves and self.halves[n, on].done for on in (False, True))]

    def _title(self) -> str:
        return say("progress")

    def _blocks(self) -> list[Block]:
        return [Block(lines=[self._line(n) for n in NUMBERS])]

    def _line(self, n: int) -> Line:
        halves = [(name, self.halves.get((n, name == "on"))) for name in ("off", "on")]
        stands = ", ".join(f"{say(f'half.{name}')}: {self._mark(half)}" for name, half in halves)
        if not any(half for _, half in halves):
            stands = say("mark.not_begun")
        name = say(f"name.{n}")
        return Line(say("progress.line", number=n, name=name, stands=stands), done=n in self.solved, says_so=True)

    @staticmethod
    def _mark(half: Half | None) -> str:
        return say("mark.not_begun" if half is None else "mark.done" if half.done else "mark.begun")


class Workshop:
    """What `from lexoffice_nb import workshop` offers.

    Args:
        world: The sandbox that it works with; the user's own by default.
    """

    def __init__(self, world: World | None = None) -> None:
        self._world = world or World()
        self._run: State | None = None
        self._exercise: Exercise | None = None
        self._halves: dict[tuple[int, bool], Half] = {}
        self._hints: dict[int, int] = {}

    def exercise(self, number: int, defence: bool = False) -> Exercise:
        """Begins an exercise: all tokens, sign-ins and leaks of the one before end, and its defence is set.

        Args:
            number: 1 to 10.
            defence: Whether the defence is on.

        Raises:
            WorkshopError: There is no such exercise, or the sandbox cannot be started.
        """
        _known(number)
        self._look_once_more()
        if number in self._world.state().unavailable:
            raise WorkshopError("unavailable", number=number)
        self._forget_run()
        self._run = self._world.begin(number, bool(defence))
        self._exercise = Exercise(self._world, self._run)
        self._halves.setdefault((number, bool(defence)), judge(number, bool(defence), []))
        return self._exercise

    def defence(self, number: int, on: bool = True) -> Exercise:
        """Begins an exercise with its defence on (or off)."""
        return self.exercise(number, defence=on)

    def check(self, number: int) -> Verdict:
        """Says what the sandbox's log shows of an exercise, and what is still missing.

        Raises:
            WorkshopError: The exercise was not begun, or the sandbox ended meanwhile.
        """
        _known(number)
        if self._run is None and not self._halves and self._world.running() is not None:
            self._adopt(number)  # a kernel that knows of nothing was restarted, perhaps
        if self._run is not None and self._run.exercise == number:
            self._look()
        elif not any((number, defence) in self._halves for defence in (False, True)):
            raise WorkshopError("not_begun", number=number)
        off, on = (self._halves.get((number, defence)) or judge(number, defence, None) for defence in (False, True))
        return Verdict(number, off, on)

    def hint(self, number: int) -> Hint:
        """Gives the next of three hints; after the third, the third."""
        _known(number)
        self._hints[number] = min(self._hints.get(number, 0) + 1, _HINTS)
        return Hint(number, self._hints[number])

    def solution(self, number: int) -> Solution:
        """Gives the model solution."""
        _known(number)
        return Solution(number)

    def progress(self) -> Progress:
        """Lists the exercises, with what is done."""
        self._look_once_more()
        return Progress(dict(self._halves))

    def _adopt(self, number: int) -> None:
        """Takes up the exercise if it goes on in the sandbox."""
        state = self._world.state()
        if state.exercise == number:
            self._run = state

    def _look_once_more(self) -> None:
        # What has happened since the last check counts as well, if it is still there.
        if self._run is not None and self._world.running() == self._run.process:
            self._look()

    def _look(self) -> None:
        run = self._run
        if run is None or run.exercise is None:
            return
        now = self._world.state()
        if now.process != run.process:
            self._forget_run()
            raise WorkshopError("restarted", number=run.exercise)
        events = self._world.journal(run.since)
        is_cut = bool(events) and events[0].n > run.since
        if not now.is_the_same_round(run):  # another notebook has begun something since: from there on it is not ours
            events = [event for event in events if event.n < now.since]
            self._forget_run()
        half = judge(run.exercise, run.defence, events, is_cut)
        known = self._halves.get((run.exercise, run.defence))
        if known is None or not known.done:
            self._halves[run.exercise, run.defence] = half

    def _forget_run(self) -> None:
        self._run = None
        if self._exercise is not None:
            self._exercise._close()
            self._exercise = None


def _known(number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number not in NUMBERS:
        raise WorkshopError("no_such_exercise", number=repr(number)[:40])
