"""Schema `ops`: how the DAG runs went."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, Table
from sqlalchemy.dialects.postgresql import JSONB

from include.database.tables.metadata import flag, metadata, text, timestamp, typed

dag_runs = Table(
    "dag_runs",
    metadata,
    text("dag_id", "DAG in Airflow.", primary_key=True),
    text("dag_run_id", "Airflow's id of the run.", primary_key=True),
    text("state", "running, success or failed; still running when it was stopped with its process or machine."),
    timestamp("started_at", "When its first task began."),
    timestamp("ended_at", "When its last task ended.", nullable=True),
    timestamp("next_run_at", "When the schedule starts the next run; null: another DAG starts it.", nullable=True),
    timestamp(
        "overdue_at",
        "A sign of life is due by then: of the running run, or of the next one. Null: nobody knows when.",
        nullable=True,
    ),
    typed(
        "at_work",
        JSONB(),
        "Tasks at work, by Airflow's name of the task instance: by when each has ended, one way or another.",
        server_default="{}",
    ),
    typed(
        "failures",
        JSONB(),
        "Failed tasks, by Airflow's name of the task instance: {task_id, account_name, reason}.",
        server_default="{}",
    ),
    flag("is_dry_run", "Whether it was a dry run; reporting.data_freshness leaves it out."),
    CheckConstraint("state in ('running', 'success', 'failed')", name="state"),
    Index("ix_dag_runs_started_at", "dag_id", "started_at"),
    Index("ix_dag_runs_success", "dag_id", "ended_at", postgresql_where="state = 'success'"),
    schema="ops",
    comment="DAG runs as their own tasks report them; Airflow's database is not asked. See reporting.data_freshness.",
)
