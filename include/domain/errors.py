"""Every way in which our work can fail, by what has to happen next. Airflow's retry policy maps these types.

No message of these errors may contain personal data: they end up in task logs and in `ops` tables.
"""

from __future__ import annotations

from datetime import timedelta


class OrdersError(Exception):
    """Something went wrong that we know by name."""

    remedy = "look up the message in docs/runbook.md, section When a task fails."


class MisconfiguredError(OrdersError):
    """A setting, connection or right is missing or wrong. A person must act; a retry cannot help."""


class ForbiddenError(MisconfiguredError):
    """The credentials are sound, but the other system does not let us do this (403 with a fresh token)."""


class UndecryptableError(MisconfiguredError):
    """Stored personal data cannot be decrypted with the keys at hand. It concerns the orders that it belongs to."""


class UnavailableError(OrdersError):
    """The other system did not answer, or answered with a fault of its own. Try again later."""

    remedy = "none needed yet, it is tried again; if it persists, see docs/runbook.md, section When a task fails."


class ThrottledError(UnavailableError):
    """The other system, or our own share of its quota, asks us to wait.

    `retry_after` is how long to wait before the next try.
    """

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutcomeUnknownError(UnavailableError):
    """A write was sent and its outcome is unknown: the object may exist. Look before writing again."""


class RefusedError(OrdersError):
    """The other system understood the request and refused it (4xx). The same request will be refused again.

    `code` is the other system's error code or HTTP status, `reason` why, without personal data. `cause` is the
    same for all refusals of one kind, whatever they name: orders that were refused for one cause share it.
    """

    def __init__(self, message: str, *, code: str, reason: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.cause = cause or code
        self.reason = reason


class NotFoundError(RefusedError):
    """The other system knows no such object (404)."""


class MalformedOrderError(OrdersError):
    """One order's document breaks the contract. It is quarantined; the page goes on. `findings` name paths only."""

    def __init__(self, message: str, findings: list[str]) -> None:
        super().__init__(message)
        self.findings = findings


class RunIncompleteError(UnavailableError):
    """The step did what it could; what is left needs another try of the task. The message counts both."""


class TasksFailedError(OrdersError):
    """Tasks of a DAG run failed. The message has the reason of each."""


def explain(error: BaseException) -> str | None:
    """An error in one line: what happened, and after `Resolution: ` what to do. None for one that nobody foresaw.

    Foreseen are our own, and those of the database to whose text include/database/engine.py has added what to do.
    """
    text = " ".join(str(error.args[0] if error.args else "").split())
    if "Resolution: " in text:
        return text
    return f"{text.rstrip('.')}. Resolution: {error.remedy}" if isinstance(error, OrdersError) else None
