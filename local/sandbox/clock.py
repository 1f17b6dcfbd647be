"""The sandbox's clock: real time plus an offset, which tests and the demo increase. The demo's is negative at first."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """A clock that runs at normal speed and can be moved forward, but not back."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self._offset = offset
        self._lock = threading.Lock()

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of real time; negative when it is behind."""
        return self._offset

    def now(self) -> datetime:
        """The time in the sandbox, UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, step: timedelta) -> datetime:
        """Move the clock forward and return the new time. Raises ValueError for a negative step."""
        if step < timedelta():
            raise ValueError(f"the sandbox's clock cannot be moved back ({step})")
        with self._lock:
            self._offset += step
        return self.now()
