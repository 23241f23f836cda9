"""Learn what OAuth 2.0 with PKCE defends against, by attacking a server of your own on this machine.

`from lexoffice_nb import workshop`, and then:

* `e = workshop.exercise(1); e` shows story, goal and tools; the defence is off. Attack in cells of your own.
* `workshop.check(1)` says what the server's log shows, and what is still missing.
* `e = workshop.defence(1); e` switches the defence on: the same attack has to fail.
* `workshop.hint(1)` gives the next of three hints, `workshop.solution(1)` the model solution.
* `workshop.progress()` lists the ten exercises.
"""

from __future__ import annotations

from lexoffice_nb.workshop.scene import Exercise
from lexoffice_nb.workshop.words import PortTaken, WorkshopError
from lexoffice_nb.workshop.workshop import Verdict, Workshop

__all__ = [
    "Exercise",
    "PortTaken",
    "Verdict",
    "Workshop",
    "WorkshopError",
    "check",
    "defence",
    "exercise",
    "hint",
    "progress",
    "solution",
]

_workshop = Workshop()
check = _workshop.check
defence = _workshop.defence
exercise = _workshop.exercise
hint = _workshop.hint
progress = _workshop.progress
solution = _workshop.solution
