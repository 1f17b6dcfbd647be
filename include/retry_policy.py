"""What Airflow does with a task that failed: our typed errors become its retry decisions and one line of its log."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from airflow.sdk import RetryDecision, RetryPolicy

from include.domain.errors import OrdersError, ThrottledError, UnavailableError, explain
from include.settings import Settings

# All of Airflow's but backfills; its UI then does not offer them.
RUN_TYPES = ("scheduled", "manual", "operator_triggered", "asset_triggered", "asset_materialization")


class OrdersRetryPolicy(RetryPolicy):
    """Retries what may pass, with its own delay; fails at once what only a person can fix.

    Throttled: after the wait that was asked for. Unreachable, faulty, in doubt: after `retry_delay`, doubled
    each time. Anything else of ours: no retry. Errors that are not ours keep Airflow's own rule.
    """

    def __init__(self, retry_delay: timedelta) -> None:
        self.retry_delay = retry_delay

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        if isinstance(exception, OrdersError) and try_number > max_tries:
            return RetryDecision.default()  # no try is left: no decision that Airflow would log behind the reason
        if isinstance(exception, ThrottledError):
            return RetryDecision.retry(exception.retry_after, "throttled")
        if isinstance(exception, UnavailableError):
            delay = self.retry_delay * 2 ** max(try_number - 1, 0)
            return RetryDecision.retry(delay, "the other system failed")
        if isinstance(exception, OrdersError):
            return RetryDecision.fail()
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {"retry_delay_seconds": self.retry_delay.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OrdersRetryPolicy:
        return cls(timedelta(seconds=data["retry_delay_seconds"]))


def dag_defaults() -> dict[str, Any]:
    """What every DAG has in common: one run at a time, no backfill, retries by cause, a time-out. Reads settings only.

    A run reads what is new now, whatever date it is for. So a backfill would do the same work once per date.
    """
    settings = Settings.from_environment()
    return {
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "allowed_run_types": RUN_TYPES,
        "default_args": {
            "owner": "orders",
            "retries": settings.task_retries,
            "retry_delay": settings.retry_delay,
            "retry_policy": OrdersRetryPolicy(settings.retry_delay),
            "execution_timeout": settings.task_timeout,
        },
    }


def show_reasons_in_task_logs() -> None:
    """Have this process's task log show each foreseen error as one line. All others keep their traceback."""
    # Loggers that exist already share this list, so it must be changed, not replaced.
    processors: list[Any] = structlog.get_config()["processors"]
    if _show_reason not in processors:
        processors.insert(0, _show_reason)


def _show_reason(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Turn Airflow's report of an exception (3.3: "Task failed with exception") into its reason, if it has one."""
    error = sys.exception() if entry.get("exc_info") is True else None
    reason = explain(error) if error else None
    if reason:
        del entry["exc_info"]
        entry["event"] = reason
    return entry
