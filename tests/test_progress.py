"""Progress: what is reported, to whom, and how honest its numbers are."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from lexoffice_nb import progress
from lexoffice_nb.progress import Progress, Task, take_up, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Clock:
    """The time, as a test lets it pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "_taken_up", {})
    return clock


@pytest.fixture
def seen() -> Iterator[list[Progress]]:
    reports: list[Progress] = []
    stop = watch(reports.append)
    yield reports
    stop()


@pytest.fixture
def work(clock: Clock) -> Callable[..., None]:
    """Reads pages: so many rows more, after so many seconds each."""
    task, done = Task("progress.rows"), 0

    def read(
        pages: int, seconds: float, *, rows: int = 250, total: int | None = 12_500, finished: bool = False
    ) -> None:
        nonlocal done
        for _ in range(pages):
            clock.now += seconds
            done += rows
            task.report(done, total, finished=finished)

    return read


def test_at_an_even_speed_what_is_left_is_exact(work: Callable[..., None], seen: list[Progress]) -> None:
    work(10, 0.5)
    assert [each.seconds_left for each in seen] == pytest.approx([0.5 * (50 - n) for n in range(1, 11)])


@pytest.mark.parametrize("first", [0.0, 20.0])
def test_a_first_page_of_another_speed_does_not_count(
    work: Callable[..., None], seen: list[Progress], first: float
) -> None:
    work(1, first)
    work(9, 0.5)
    assert seen[-1].seconds_left == pytest.approx(0.5 * 40)


def test_a_change_of_speed_is_known_within_the_window(work: Callable[..., None], seen: list[Progress]) -> None:
    work(10, 0.1)
    work(11, 1)
    assert seen[-1].seconds_left == pytest.approx(29)


def test_slow_pages_are_judged_by_more_than_the_last_one(work: Callable[..., None], seen: list[Progress]) -> None:
    for seconds in (20, 30, 20, 30, 20):
        work(1, seconds)
    assert seen[-1].seconds_left == pytest.approx(25 * 45)


def test_nobody_can_tell_without_a_total_without_rows_and_beyond_the_total(
    work: Callable[..., None], seen: list[Progress]
) -> None:
    work(2, 1, total=None)
    work(20, 1, rows=0)
    work(1, 1, total=300)
    assert [each.seconds_left for each in (*seen[:2], *seen[-2:])] == [None] * 4


def test_the_last_report_has_nothing_left_and_all_the_time_it_took(
    work: Callable[..., None], seen: list[Progress]
) -> None:
    work(4, 0.5)
    work(1, 0.5, finished=True)
    assert (seen[-1].finished, seen[-1].seconds_left, seen[-1].seconds) == (True, None, pytest.approx(2.5))


def test_the_time_between_two_cells_counts_for_nothing(
    work: Callable[..., None], seen: list[Progress], clock: Clock
) -> None:
    take_up()
    work(4, 0.5)
    clock.now += 3600
    take_up()
    work(1, 0.5)
    assert seen[-1].seconds == pytest.approx(2.5)
    assert seen[-1].seconds_here == pytest.approx(0.5)
    assert seen[-1].seconds_left == pytest.approx(0.5 * 45)


def test_work_in_another_thread_does_not_pause_when_a_cell_begins(
    work: Callable[..., None], seen: list[Progress], clock: Clock
) -> None:
    work(1, 1)
    clock.now += 5
    take_up()
    thread = threading.Thread(target=work, args=(1, 1))
    thread.start()
    thread.join(5)
    assert seen[-1].seconds == pytest.approx(7)


def test_no_two_tasks_have_one_number_though_the_first_is_gone(seen: list[Progress]) -> None:
    for _ in range(20):
        Task("progress.rows").report(1, 2)
    assert len({each.task for each in seen}) == 20


def test_a_watcher_that_fails_disturbs_neither_the_work_nor_the_next_watcher(seen: list[Progress]) -> None:
    def fail(_: Progress) -> None:
        raise ValueError("no")

    stops = [watch(fail), watch(seen.append)]
    Task("progress.rows").report(1, 2)
    for stop in stops:
        stop()
    assert len(seen) == 2


def test_an_interrupt_in_a_watcher_gets_through() -> None:
    def interrupted(_: Progress) -> None:
        raise KeyboardInterrupt

    stop = watch(interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            Task("progress.rows").report(1, 2)
    finally:
        stop()


def test_a_watcher_that_was_stopped_is_told_nothing_and_can_be_stopped_again() -> None:
    reports: list[Progress] = []
    stop = watch(reports.append)
    stop()
    stop()
    Task("progress.rows").report(1, 2)
    assert reports == []
