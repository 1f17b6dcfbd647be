"""
**Does** — Refreshes `reporting.recent_orders`, which the *Recent Orders* page reads, and the facts (`fct_...`) and
dimensions (`dim_...`) behind the analysts' views.

**Reads** — `core.*` and `ops.*`, as far as they changed.

**Writes** — `reporting.recent_orders` and `reporting.fct_*`: the rows of the orders that changed; `reporting.dim_*`.

**Schedule** — By asset: when orders were staged, validated or created, packages were verified, or a
cancellation was asked for.

**Safe to re-run because** — Each row is computed anew from what is known now, in the transaction that takes its order
off the list of changes.

**When it fails** — The page shows the state of the last good run (`loaded_at`). Look at the red task's log; usually the
orders database cannot be reached. The next asset event refreshes everything. See `docs/runbook.md`.
"""

from __future__ import annotations

from airflow.sdk import Asset, dag, task

from include import steps
from include.resources import Resources
from include.retry_policy import dag_defaults

SOURCES = (
    Asset("orders://core/orders")
    | Asset("orders://ops/blocker_episodes")
    | Asset("orders://ops/order_outbox")
    | Asset("orders://ops/shipment_outbox")
    | Asset("orders://ops/cancellation_outbox")
)


@dag(schedule=SOURCES, doc_md=__doc__, tags=["orders", "reporting"], **dag_defaults())
def orders_to_reporting() -> None:
    @task(outlets=[Asset("orders://reporting/recent_orders")])
    def publish_recent_orders() -> dict[str, int]:
        """Writes what changed in reporting.recent_orders, in the facts and in the dimensions for analysts."""
        with Resources() as use:
            return steps.publish_recent_orders.run(use.engine, at_risk=use.settings.ship_by_risk, **use.run)

    publish_recent_orders()


orders_to_reporting()
