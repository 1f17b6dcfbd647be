"""
**Does** — Rebuilds `core` from what Amazon has sent, after a correction of this project: each order is read anew from
its newest version in `raw`. First it lists every difference; `dry_run`, which is the default, ends there. What later
steps and people know stays: pipeline states, Commerce orders, corrections. An order that was left alone because of what
was read is checked again.

**Reads** — `raw.amazon_orders`; of the orders that the params name, or of all.

**Writes** — `ops.replay_differences`; without `dry_run` also `core.orders`, `core.order_items` and
`core.order_status_changes`, only of orders that differ.

**Schedule** — Only when somebody triggers it.

**Safe to re-run because** — A second replay finds no difference. It takes turns with `stage_amazon_orders`.

**When it fails** — The log says which param is wrong. An order that the database refuses is named; the others go on.
"""

from __future__ import annotations

from airflow.sdk import Asset, Param, dag, task

from include import steps
from include.resources import Resources
from include.retry_policy import dag_defaults

PARAMS = {
    "account": Param(None, type=["null", "string"], description="Account of stores.yaml; default: all."),
    "updated_from": Param(
        None, type=["null", "string"], description="Orders changed on Amazon from then on, as 2026-01-31T00:00:00Z."
    ),
    "updated_to": Param(None, type=["null", "string"], description="Until this moment."),
    "amazon_order_ids": Param(None, type=["null", "array"], description="Only these orders."),
    "dry_run": Param(True, type="boolean", description="Only list the differences (ops.replay_differences)."),
}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=["orders", "maintenance"],
    **dag_defaults(),
)
def replay_amazon_orders() -> None:
    @task(outlets=[Asset("orders://core/orders")])
    def replay_amazon_orders() -> dict[str, int]:
        """Lists what core would be if it were read anew from raw, and writes it unless the run is dry."""
        with Resources() as use:
            request = steps.replay_amazon_orders.read_request(use.params, use.stores)
            is_dry_run = use.params["dry_run"]
            return steps.replay_amazon_orders.run(use.engine, request, is_dry_run=is_dry_run, **use.run)

    replay_amazon_orders()


replay_amazon_orders()
