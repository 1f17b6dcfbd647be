"""
**Does** — Refreshes `reporting.recent_orders`, which the *Recent Orders* page and analysts read.

**Reads** — `core.*` and `ops.*`.

**Writes** — `reporting.recent_orders`, the rows of the orders that changed; triggers queue them in
`ops.orders_to_publish`. Rows that would stay the same are left alone.

**Schedule** — By asset: when orders were staged, validated or created, or packages were verified.

**Safe to re-run because** — An order leaves the queue in the transaction that writes its row, from what is known then.

**When it fails** — The page shows the state of the last good run (`loaded_at`). Look at the red task's log; usually the
orders database cannot be reached. The next asset event publishes what is still queued. See `docs/runbook.md`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset, dag, task

from include.resources import Resources, utc_now
from include.retry_policy import task_defaults

SOURCES = (
    Asset("orders://core/orders")
    | Asset("orders://ops/blocker_episodes")
    | Asset("orders://ops/order_outbox")
    | Asset("orders://ops/shipment_outbox")
)


@dag(
    schedule=SOURCES,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(),
    doc_md=__doc__,
    tags=["orders", "reporting"],
)
def orders_to_reporting() -> None:
    @task(outlets=[Asset("orders://reporting/recent_orders")])
    def publish_recent_orders() -> dict[str, int]:
        """Writes the rows of reporting.recent_orders that changed."""
        from include.steps import publish_recent_orders as step

        with Resources() as use:
            return step.run(use.engine, now=utc_now(), dag_run_id=use.run_id)

    publish_recent_orders()


orders_to_reporting()
