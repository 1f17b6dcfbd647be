"""How many rows of one system are worked on at the same time: fewer while it throttles or slows down, more again later.

Additive increase, multiplicative decrease. A 429, or a window of attempts that took twice as long as the fastest window
before, halves the number; each other window adds one, up to the most that is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

WINDOW = 10  # attempts of the same kind
_SLOWER = 2.0


class Pace:
    """The pace of one system. Not thread-safe: the work loop calls it under its own lock."""

    def __init__(self, most: int, start: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` at the same time, beginning with `start` (default: most). `clock` gives seconds."""
        self.most = max(most, 1)
        self.limit = min(max(start or self.most, 1), self.most)
        self.active = 0
        self._clock = clock
        self._paused_until = self._changed_at = clock()
        self._window: list[float] = []
        self._fastest: float | None = None

    @property
    def waits(self) -> float:
        """Seconds until the next row may be taken up, as far as the clock decides."""
        return max(self._paused_until - self._clock(), 0.0)

    @property
    def has_room(self) -> bool:
        """Whether another row may be taken up now."""
        return self.active < self.limit and not self.waits

    def note(self, started_at: float) -> None:
        """An attempt ended well that began at `started_at`."""
        if started_at < self._changed_at:  # it tells of another limit
            return
        self._window.append(self._clock() - started_at)
        if len(self._window) < WINDOW:
            return
        seconds = sum(self._window) / WINDOW
        fastest = self._fastest if self._fastest is not None else seconds
        if seconds > _SLOWER * fastest:
            self._change(self.limit // 2)
        else:
            self._change(self.limit + 1)
        self._fastest = min(fastest, seconds)

    def throttle(self, started_at: float, pause: timedelta) -> bool:
        """The system answered 429 to an attempt that began at `started_at`: pause, with half as many afterwards.

        False: it was alone already, and no slower pace is left.
        """
        if started_at >= self._changed_at:  # else it is the echo of a limit that was lowered meanwhile
            if self.limit == 1:
                return False
            self._change(self.limit // 2)
        self._paused_until = max(self._paused_until, self._clock() + pause.total_seconds())
        return True

    def _change(self, limit: int) -> None:
        self._window.clear()
        limit = min(max(limit, 1), self.most)
        if limit != self.limit:
            self.limit = limit
            self._changed_at = self._clock()
