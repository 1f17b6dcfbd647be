"""The loop that every outbox shares: lock an order, attempt its row, count what came of it, and know when to stop.

One bad order must not stop the others, and a dead system must not be called order after order. After a failure the
loop therefore probes the system: if it answers, the order is at fault and goes back in the queue, at growing distance;
if it does not, its other orders are left for the next run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from include.database.locks import autocommit, try_lock
from include.domain.errors import (
    MisconfiguredError,
    OrdersError,
    RunIncompleteError,
    ThrottledError,
    UnavailableError,
)

log = logging.getLogger(__name__)


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
    the system is left alone. Any other UnavailableError: the system is probed.
    """

    counted_as: str
    failure: OrdersError | None = None
    then: str = ""  # what followed in the same attempt, counted as well


@dataclass
class LoopReport:
    """What a loop did: how many rows came to which outcome, and what stopped part of the work."""

    counts: Counter[str] = field(default_factory=Counter)
    stopped: dict[str, OrdersError] = field(default_factory=dict)  # system or store -> why its rows were left

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
) -> LoopReport:
    """Attempt each row under its order's lock, at most `limit` rows and not beyond `time_budget`.

    `attempt` gets the session that holds the lock, in autocommit. `is_answering` probes the system of a row that
    failed; `put_back` commits that the row failed although the system answers. Rows of orders that another worker has
    locked are passed over.
    """
    report = LoopReport()
    counts, stopped = report.counts, report.stopped
    deadline = clock() + time_budget
    attempted = 0
    with autocommit(engine) as session:
        for row in rows:
            if row.system in stopped or row.store_name in stopped or attempted == limit or clock() >= deadline:
                counts["left_for_next_run"] += 1
                continue
            with try_lock(session, "order", row.amazon_order_id) as got:
                if not got:
                    counts["passed_over"] += 1
                    continue
                attempted += 1
                outcome = attempt(session, row)
                counts.update(name for name in (outcome.counted_as, outcome.then) if name)
                failure = outcome.failure
                if isinstance(failure, MisconfiguredError):
                    log.error("store=%s order=%s: %s", row.store_name, row.amazon_order_id, failure)
                    stopped[row.store_name] = failure
                elif isinstance(failure, ThrottledError):
                    stopped[row.system] = failure
                elif isinstance(failure, UnavailableError):
                    log.warning("order=%s: %s", row.amazon_order_id, failure)
                    if is_answering(row):
                        put_back(row, failure)
                    else:
                        stopped[row.system] = failure
    return report


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
