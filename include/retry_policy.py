"""What Airflow does with a task that failed: our typed errors become its retry decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from include.domain.errors import OrdersError, ThrottledError, UnavailableError
from include.settings import Settings


class OrdersRetryPolicy(RetryPolicy):
    """Retries what may pass, with its own delay; fails at once what only a person can fix.

    Throttled: after the wait that was asked for. Unreachable, faulty, in doubt: after `retry_delay`, doubled
    each time. Anything else of ours: no retry. Errors that are not ours keep Airflow's own rule.
    """

    def __init__(self, retry_delay: timedelta) -> None:
        self.retry_delay = retry_delay

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        if isinstance(exception, ThrottledError):
            return RetryDecision.retry(exception.retry_after, "throttled")
        if isinstance(exception, UnavailableError):
            delay = self.retry_delay * 2 ** max(try_number - 1, 0)
            return RetryDecision.retry(delay, "the other system failed")
        if isinstance(exception, OrdersError):
            return RetryDecision.fail("a retry cannot help")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {"retry_delay_seconds": self.retry_delay.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OrdersRetryPolicy:
        return cls(timedelta(seconds=data["retry_delay_seconds"]))


def dag_defaults() -> dict[str, Any]:
    """What every DAG has in common: one run at a time, retries by cause, a time-out. Reads the settings only."""
    settings = Settings.from_environment()
    return {
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "default_args": {
            "owner": "orders",
            "retries": settings.task_retries,
            "retry_delay": settings.retry_delay,
            "retry_policy": OrdersRetryPolicy(settings.retry_delay),
            "execution_timeout": settings.task_timeout,
        },
    }
