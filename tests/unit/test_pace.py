"""The pace of a shop: halved when it throttles or slows down, one more after each window that goes well."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.outbox.pace import WINDOW, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def play(pace: Pace, clock: Clock, seconds: float, windows: int = 1) -> None:
    """Attempts that last so long, one after the other."""
    for _ in range(WINDOW * windows):
        started_at = clock.now
        clock.now += seconds
        pace.note(started_at)


def test_pace_is_halved_when_attempts_take_more_than_twice_as_long(clock: Clock) -> None:
    pace = Pace(8, clock=clock)
    play(pace, clock, 1.0)
    assert pace.limit == 8
    play(pace, clock, 2.5)
    assert pace.limit == 4
    play(pace, clock, 2.5)
    assert pace.limit == 2


def test_pace_comes_back_step_by_step_when_the_shop_is_fast_again(clock: Clock) -> None:
    pace = Pace(4, clock=clock)
    play(pace, clock, 1.0)
    play(pace, clock, 3.0, windows=2)
    assert pace.limit == 1
    limits = []
    for _ in range(4):
        play(pace, clock, 1.1)
        limits.append(pace.limit)
    assert limits == [2, 3, 4, 4]


def test_pace_stays_when_the_shop_is_always_slow(clock: Clock) -> None:
    pace = Pace(4, clock=clock)
    play(pace, clock, 30.0, windows=5)
    assert pace.limit == 4


def test_echo_of_a_throttled_pace_does_not_halve_it_again(clock: Clock) -> None:
    pace = Pace(4, clock=clock)
    clock.now = 10.0
    assert pace.throttle(9.0, timedelta(seconds=2))
    assert pace.throttle(9.5, timedelta(seconds=2))  # was under way at the same time
    assert (pace.limit, pace.has_room, pace.waits) == (2, False, 2.0)
    clock.now = 12.0
    assert pace.has_room


def test_no_slower_pace_is_left_when_one_alone_is_throttled(clock: Clock) -> None:
    pace = Pace(4, start=1, clock=clock)
    clock.now = 1.0
    assert not pace.throttle(0.5, timedelta(seconds=2))


def test_attempts_that_began_at_another_pace_do_not_count(clock: Clock) -> None:
    pace = Pace(4, clock=clock)
    play(pace, clock, 1.0)
    clock.now += 100.0
    assert pace.throttle(clock.now - 1.0, timedelta())
    for _ in range(WINDOW):
        pace.note(clock.now - 100.0)
    assert pace.limit == 2
