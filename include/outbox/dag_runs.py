"""`ops.dag_runs`: what the tasks of a DAG run report of it, so that people see when it fails or stops. Only writer.

Nobody writes when Airflow's scheduler is down. So each report also says by when the next one is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Engine, case, cast, func, literal, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from include.database.tables import dag_runs

_GRACE = timedelta(minutes=5)
_LONGEST_REASON = 2000  # characters
_WITHOUT_REASON = (
    "it ended without a reason: its process was killed, perhaps for lack of memory, or the task was marked in Airflow. "
    "Resolution: look at the end of its log and at the machine; the next run goes on where this one stopped."
)


def unforeseen(error: BaseException) -> str:
    """The reason that is shown for an error that nobody foresaw: no text of it, which may hold anything."""
    return (
        f"an error that nobody foresaw ({type(error).__name__}). Resolution: look at the task's log; if it is no "
        "time-out, report it with the log."
    )


def next_run_at(schedule: object, now: datetime) -> datetime | None:
    """When a cron expression starts the next run (UTC); None for another schedule or none."""
    if not isinstance(schedule, str):
        return None
    from croniter import croniter  # type: ignore[import-untyped]

    moment: datetime = croniter(schedule, now).get_next(datetime)
    return moment


@dataclass(frozen=True)
class TaskInstance:
    """One task of a run. `name` is unique in the run; `account_name` is None if the task is not about one account."""

    name: str
    task_id: str
    account_name: str | None


class DagRunReport:
    """The report of one DAG run. `next_run_at`: when the schedule starts the next one; None without a schedule."""

    def __init__(
        self,
        engine: Engine,
        dag_id: str,
        dag_run_id: str,
        next_run_at: datetime | None,
        *,
        is_dry_run: bool = False,
    ) -> None:
        self._engine = engine
        self._keys = {"dag_id": dag_id, "dag_run_id": dag_run_id}
        self._next_run_at = next_run_at
        self._is_dry_run = is_dry_run

    def begin_task(self, task: TaskInstance, now: datetime, longest: timedelta) -> None:
        """The run is at work, whatever was known of it; the task takes `longest` at the most."""
        at_work = {task.name: (now + longest).isoformat()}
        runs = dag_runs.c
        statement = insert(dag_runs).values(
            **self._keys,
            is_dry_run=self._is_dry_run,
            state="running",
            started_at=now,
            next_run_at=self._next_run_at,
            overdue_at=now + longest + _GRACE,
            at_work=at_work,
        )
        self._execute(
            statement.on_conflict_do_update(
                index_elements=list(self._keys),
                set_={
                    "state": "running",
                    "ended_at": None,
                    "at_work": runs.at_work.op("||")(statement.excluded.at_work),
                    "overdue_at": func.greatest(
                        statement.excluded.overdue_at,
                        # What was expected of a run that is over does not count any more.
                        case((runs.state == "running", runs.overdue_at)),
                    ),
                },
            )
        )

    def end_task(self, task: TaskInstance, now: datetime, *, reason: str | None, pause: timedelta) -> None:
        """The task has ended, with success unless there is a `reason`. It is tried again, or the next one begins,
        within `pause`."""
        others = dag_runs.c.at_work.op("-")(task.name)
        last = select(func.max(cast(literal_column("value"), DateTime(timezone=True)))).select_from(
            func.jsonb_each_text(others)
        )
        values: dict[str, Any] = {
            "at_work": others,
            "overdue_at": func.greatest(now + pause, last.scalar_subquery()) + _GRACE,
        }
        if reason is not None:
            facts = {"task_id": task.task_id, "account_name": task.account_name, "reason": reason[:_LONGEST_REASON]}
            values["failures"] = dag_runs.c.failures.op("||")(literal({task.name: facts}, JSONB()))
        self._update(**values)

    def settle(self, states: Mapping[str, str | None]) -> dict[str, str]:
        """Keep the failures of the tasks that have failed in the end, by `states` per name, and return their reasons.

        A killed task has reported none; one that was tried again with success has reported one too many.
        """
        with self._engine.begin() as connection:
            known: dict[str, dict[str, Any]] = connection.execute(
                select(dag_runs.c.failures).where(*self._conditions()).with_for_update()
            ).scalar_one()
            failures = {
                name: known.get(name) or {"task_id": name, "account_name": None, "reason": _WITHOUT_REASON}
                for name, state in sorted(states.items())
                if state == "failed"
            }
            connection.execute(update(dag_runs).where(*self._conditions()).values(failures=failures))
        return {
            f"{failed['task_id']} ({failed['account_name']})" if failed["account_name"] else failed["task_id"]: failed[
                "reason"
            ]
            for failed in failures.values()
        }

    def end(self, now: datetime, *, is_success: bool) -> None:
        """The run is over."""
        self._update(
            state="success" if is_success else "failed",
            ended_at=now,
            next_run_at=self._next_run_at,
            overdue_at=self._next_run_at and self._next_run_at + _GRACE,
            at_work={},
            **({"failures": {}} if is_success else {}),
        )

    def _conditions(self) -> list[Any]:
        return [dag_runs.c[name] == value for name, value in self._keys.items()]

    def _update(self, **values: Any) -> None:
        self._execute(update(dag_runs).where(*self._conditions()).values(**values))

    def _execute(self, statement: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(statement)
