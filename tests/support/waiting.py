"""Waiting for a state instead of for a time, and how long the tests' clients wait for an answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from include.adapters.http import Timeouts

# Only a safety net: no test depends on how fast the machine is.
PATIENCE_SECONDS = 300.0
PATIENT = Timeouts(connect=10, read=60)
# For a client that is to give up on a slow answer.
IMPATIENT = Timeouts(connect=10, read=1.5)
# How late the sandbox's slow answers come: too late for both, and nobody waits for one that no client waits for.
SLOW_SECONDS = 300.0


def patience(fault_kind: str) -> Timeouts:
    """How long a client waits that meets a fault of this kind: forever, as it were, but for the slow answer."""
    return IMPATIENT if fault_kind == "slow" else PATIENT


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as `condition` holds; fail, naming `what`, when it never does."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        time.sleep(0.01)
