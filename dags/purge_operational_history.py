"""
**Does** — Deletes what the operational tables have kept long enough. Requests to Amazon and Commerce are summed up per
hour before they go.

**Reads** — `ops.api_calls`, `ops.ingest_windows` and `ops.ingest_pages`, `ops.validation_results`, `ops.dag_runs`,
`ops.replay_differences`, `ops.bad_addresses`; the retention settings in `docs/configuration.md`.

**Writes** — `ops.api_calls_hourly`; deletes old rows of these tables. Orders, shipments and outboxes are
never touched, nor how far Amazon's listing was read (`ops.ingest_coverage`).

**Schedule** — Every day at 03:17 UTC, one run at a time.

**Safe to re-run because** — A row is deleted and summed up in the same transaction; a second run finds nothing left.

**When it fails** — Nothing waits for it; the tables grow until it runs again. Look at the red task's log: usually the
orders database cannot be reached. The next run goes on where this one stopped.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from include import steps
from include.resources import Resources, utc_now
from include.retry_policy import dag_defaults


@dag(schedule="17 3 * * *", doc_md=__doc__, tags=["maintenance"], **dag_defaults())
def purge_operational_history() -> None:
    @task
    def purge_operational_history() -> dict[str, int]:
        """Deletes old rows of ops, batch by batch."""
        with Resources() as use:
            return steps.purge_operational_history.run(use.engine, use.settings, now=utc_now())

    purge_operational_history()


purge_operational_history()
