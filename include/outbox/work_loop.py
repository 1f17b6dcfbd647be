"""The loop that every outbox shares: lock an order, attempt its row, count what came of it, and know when to stop.

One bad order must not stop the others, and a dead system must not be called order after order. After a failure the
loop therefore probes the system: if it answers, the order is at fault and goes back in the queue, at growing distance;
if it does not, its other orders are left for the next run. That holds when several orders are worked on at once, too:
those that fail together share a probe.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from include.database.locks import autocommit, try_lock
from include.domain.errors import (
    MisconfiguredError,
    OrdersError,
    RunIncompleteError,
    ThrottledError,
    UnavailableError,
)
from include.outbox.pace import Pace

log = logging.getLogger(__name__)

_NOTHING_DONE = ("passed_over", "stopped")  # outcomes that take no share of the limit


def growing(gap: timedelta, times: int, *, doublings: int = 6) -> timedelta:
    """How long to wait after something failed `times` times in a row: `gap`, doubled each time up to `doublings`."""
    factor: int = 2 ** min(times - 1, doublings)
    return gap * factor


class DueRow(Protocol):
    """A row that is due: the order that it belongs to, the system that it calls, and the store whose settings count."""

    @property
    def amazon_order_id(self) -> str: ...
    @property
    def system(self) -> str: ...
    @property
    def store_name(self) -> str: ...


Due = TypeVar("Due", bound=DueRow)


@dataclass(frozen=True)
class Outcome:
    """What one attempt came to. `counted_as` names it in the summary; `failure` is what went wrong outside.

    A failure decides how the loop goes on. MisconfiguredError: the store's other rows are left alone. ThrottledError:
    the system gets a slower pace, or is left alone. Any other UnavailableError: the system is probed.
    """

    counted_as: str
    failure: OrdersError | None = None
    then: str = ""  # what followed in the same attempt, counted as well
    is_shared: bool = False  # the failure is that of several rows: if the system answers, this one is attempted again
    is_timed: bool = False  # how long it took says how fast the system is


@dataclass
class LoopReport:
    """What a loop did: how many rows came to which outcome, and what stopped part of the work."""

    counts: Counter[str] = field(default_factory=Counter)
    stopped: dict[str, OrdersError] = field(default_factory=dict)  # system or store -> why its rows were left

    def add(self, other: LoopReport) -> None:
        """Count what another loop did as well."""
        self.counts.update(other.counts)
        self.stopped.update(other.stopped)

    def raise_if_incomplete(self, step: str) -> None:
        """Fail the task if part of its work was left because of an error, and name every part.

        Raises ThrottledError or RunIncompleteError when another try may help, else MisconfiguredError.
        """
        if not self.stopped:
            return
        parts = "; ".join(f"{part}: {error}" for part, error in sorted(self.stopped.items()))
        message = f"{step} left part of its work: {parts}"
        errors = self.stopped.values()
        throttled = [error.retry_after for error in errors if isinstance(error, ThrottledError)]
        if throttled:
            raise ThrottledError(message, max(throttled))
        if any(isinstance(error, UnavailableError) for error in errors):
            raise RunIncompleteError(message)
        raise MisconfiguredError(message)


def work_through(
    engine: Engine,
    rows: Iterable[Due],
    attempt: Callable[[Connection, Due], Outcome],
    *,
    is_answering: Callable[[Due], bool],
    put_back: Callable[[Due, UnavailableError], None],
    clock: Callable[[], datetime],
    time_budget: timedelta,
    limit: int | None = None,
    paces: Mapping[str, Pace] | None = None,
    longest_pause: timedelta = timedelta(),
) -> LoopReport:
    """Attempt each row under its order's lock, at most `limit` rows and not beyond `time_budget`.

    `attempt` gets the session that holds the lock, in autocommit. `is_answering` probes the system of a row that
    failed; `put_back` commits that the row failed although the system answers. Rows of orders that another worker has
    locked are passed over.

    `paces` says how many rows of a system are attempted at the same time, in threads; default: one after the other. A
    system that throttles for no longer than `longest_pause` goes on after that pause, at a slower pace.
    """
    return _Loop(engine, rows, attempt, is_answering, put_back, clock, time_budget, limit, paces, longest_pause).run()


class _Loop(Generic[Due]):
    """One call of `work_through`. `_turn` guards what its threads share; no system is called while it is held."""

    def __init__(
        self,
        engine: Engine,
        rows: Iterable[Due],
        attempt: Callable[[Connection, Due], Outcome],
        is_answering: Callable[[Due], bool],
        put_back: Callable[[Due, UnavailableError], None],
        clock: Callable[[], datetime],
        time_budget: timedelta,
        limit: int | None,
        paces: Mapping[str, Pace] | None,
        longest_pause: timedelta,
    ) -> None:
        self._engine, self._attempt, self._is_answering, self._put_back = engine, attempt, is_answering, put_back
        self._clock, self._limit, self._longest_pause = clock, limit, longest_pause
        self._deadline = clock() + time_budget
        self._queues: dict[str, deque[tuple[int, Due]]] = defaultdict(deque)  # by system, in the rows' order
        for place, row in enumerate(rows):
            self._queues[row.system].append((place, row))
        self._paces = {system: (paces or {}).get(system) or Pace(1) for system in self._queues}
        self._attempted = 0
        self._is_over = False
        self._turn = threading.Condition()
        self._probing = threading.Lock()
        self._answered_at: dict[str, float] = {}
        self._report = LoopReport()

    def run(self) -> LoopReport:
        """Work until nothing is left to do now. An error that nobody foresaw ends all threads, and is raised."""
        threads = sum(min(self._paces[system].most, len(queue)) for system, queue in self._queues.items())
        if threads <= 1:
            self._work()
            return self._report
        with ThreadPoolExecutor(threads, thread_name_prefix="outbox") as pool:
            works = [pool.submit(copy_context().run, self._work) for _ in range(threads)]
            try:
                for work in works:
                    work.result()
            except BaseException:
                self._end()  # what is under way comes to its end: its outcome is committed
                raise
        return self._report

    def _end(self) -> None:
        with self._turn:
            self._is_over = True
            self._turn.notify_all()

    def _work(self) -> None:
        """One worker: takes up rows one by one, on a session of its own."""
        try:
            with autocommit(self._engine) as session:
                while (taken := self._next()) is not None:
                    try:
                        self._take_up(session, *taken)
                    finally:
                        with self._turn:
                            self._paces[taken[1].system].active -= 1
                            self._turn.notify_all()
        except BaseException:
            self._end()
            raise

    def _next(self) -> tuple[int, Due] | None:
        """The next row that may be taken up, as soon as it may; None: no more."""
        with self._turn:
            while not self._is_over:
                waits: list[float] = []
                for system in sorted(filter(self._queues.get, self._queues), key=lambda one: self._queues[one][0][0]):
                    queue, pace = self._queues[system], self._paces[system]
                    while queue and self._is_left(queue[0][1]):
                        queue.popleft()
                        self._report.counts["left_for_next_run"] += 1
                    if queue and pace.has_room and self._attempted != self._limit:
                        pace.active += 1
                        self._attempted += 1
                        return queue.popleft()
                    if queue:
                        waits.append(pace.waits)
                if not waits:
                    return None
                self._turn.wait(min(filter(None, waits), default=None))  # until a row ends, or a pause does
        return None

    def _is_left(self, row: Due) -> bool:
        stopped = self._report.stopped
        return (
            row.system in stopped
            or row.store_name in stopped
            # While others are under way, one of them may turn out not to count.
            or (self._attempted == self._limit and not any(pace.active for pace in self._paces.values()))
            or self._clock() >= self._deadline
        )

    def _take_up(self, session: Connection, place: int, row: Due) -> None:
        with try_lock(session, "order", row.amazon_order_id) as got:
            if not got:
                with self._turn:
                    self._attempted -= 1
                    self._report.counts["passed_over"] += 1
                return
            started_at = time.monotonic()
            outcome = self._attempt(session, row)
            failure = outcome.failure
            if outcome.is_shared and failure is not None and self._answers(row, failure):
                outcome = self._attempt(session, row)
            self._conclude(place, row, outcome, started_at)

    def _conclude(self, place: int, row: Due, outcome: Outcome, started_at: float) -> None:
        """Count what came of an attempt, and decide what its failure means for the other rows."""
        failure, stopped = outcome.failure, self._report.stopped
        with self._turn:
            self._report.counts.update(name for name in (outcome.counted_as, outcome.then) if name)
            if outcome.is_timed and failure is None:
                self._paces[row.system].note(started_at)
            elif failure is None and outcome.counted_as in _NOTHING_DONE:
                self._attempted -= 1
            elif isinstance(failure, MisconfiguredError):
                log.error("store=%s order=%s: %s", row.store_name, row.amazon_order_id, failure)
                stopped[row.store_name] = failure
                self._attempted -= 1
            elif isinstance(failure, ThrottledError):
                pause, pace = failure.retry_after, self._paces[row.system]
                if pace.throttle(started_at, pause) and pause <= self._longest_pause:
                    log.warning("%s: on after %d s, %d at a time.", failure, pause.total_seconds(), pace.limit)
                    self._queues[row.system].appendleft((place, row))
                    self._attempted -= 1
                else:
                    stopped[row.system] = failure
        if isinstance(failure, UnavailableError) and not isinstance(failure, ThrottledError):
            log.warning("order=%s: %s", row.amazon_order_id, failure)
            if self._answers(row, failure):
                self._put_back(row, failure)

    def _answers(self, row: Due, failure: OrdersError) -> bool:
        """Whether the system of a row that failed answers; else its other rows are left alone.

        Rows that failed at the same time share a probe.
        """
        failed_at = time.monotonic()
        with self._probing:
            if row.system in self._report.stopped:
                return False
            if self._answered_at.get(row.system, failed_at) <= failed_at:
                probed_at = time.monotonic()
                if not self._is_answering(row):
                    with self._turn:
                        self._report.stopped[row.system] = failure
                    return False
                self._answered_at[row.system] = probed_at
            return True


class FailureStreak:
    """Tells a bad order from a dead Amazon, which has nothing cheap to probe: failures of different orders in a row."""

    def __init__(self, tolerated: int = 2) -> None:
        self._tolerated = tolerated
        self._length = 0

    def end(self) -> None:
        """Something succeeded."""
        self._length = 0

    def is_one_more_tolerable(self) -> bool:
        """Count a failure. False: too many in a row, the system is at fault."""
        self._length += 1
        return self._length <= self._tolerated


def summary(counts: Counter[str] | dict[str, int]) -> str:
    """Counts as every step logs them: `created=2 refused=0`."""
    return " ".join(f"{name}={count}" for name, count in counts.items())
