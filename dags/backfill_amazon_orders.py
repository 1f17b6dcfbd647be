"""
**Does** — Fetches orders of one account from Amazon: those created in a stretch of time, newest first, or a list of
order ids. They are kept and shown. With `create_in_commerce` Commerce orders are created for them, even before the
store's `import_since`; without it, a backfill alone creates nothing.

**Reads** — `stores.yaml`; Amazon Selling Partner API (Orders 2026-01-01), with the requests that live orders leave.

**Writes** — `raw.amazon_orders`, `pii.order_contacts`, `core.*`; its progress: `ops.backfills`, the log and
`reporting.backfills`. The next run of `amazon_orders_to_commerce` checks the orders and creates what is wanted.

**Schedule** — Only when somebody triggers it. Amazon's quota gives a backfill about 6 pages of 100 orders an hour: in
between, the run waits without a worker. With `dry_run` it says what it would read, and changes nothing.

**Safe to re-run because** — Each page lands with the progress; the same request goes on where the last one stopped.

**When it fails** — The log says which param is wrong, or what Amazon refused. Clear the task to go on.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, Param, PokeReturnValue, TriggerRule, dag, task

from include import steps
from include.resources import Resources, run_complete, skip_if_dry
from include.retry_policy import dag_defaults

PARAMS = {
    "account": Param(None, type=["null", "string"], description="Account of stores.yaml; needed."),
    "stores": Param(None, type=["null", "array"], description="Stores of the account; default: all."),
    "created_from": Param(None, type=["null", "string"], description="Created from then on: 2026-01-31T00:00:00Z."),
    "created_to": Param(None, type=["null", "string"], description="Until this moment; default: now."),
    "amazon_order_ids": Param(None, type=["null", "array"], description="Orders, instead of a stretch of time."),
    "create_in_commerce": Param(False, type="boolean", description="Create Commerce orders for them."),
    "dry_run": Param(False, type="boolean", description="Say what would be read, and change nothing."),
}
TAGS = ["amazon", "orders", "maintenance"]
EVERY_FIVE_MINUTES: dict[str, Any] = {"mode": "reschedule", "poke_interval": 300, "timeout": 90 * 86400}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=TAGS,
    **dag_defaults() | {"max_active_runs": 16},
)
def backfill_amazon_orders() -> None:
    @task(pre_execute=skip_if_dry)
    def stage_stores() -> list[str]:
        """Checks the request, and keeps core.stores in step with stores.yaml."""
        with Resources() as use:
            steps.backfill_amazon_orders.read_request(use.params, use.stores, now=use.run["now"])
            return steps.stage_stores.run(use.engine, use.stores, use.admin_urls(), **use.run)

    @task.sensor(trigger_rule=TriggerRule.NONE_FAILED, **EVERY_FIVE_MINUTES)
    def backfill_amazon_orders() -> PokeReturnValue:
        """Reads as much as Amazon's quota allows, again and again until all of it has landed."""
        with Resources() as use:
            request = steps.backfill_amazon_orders.read_request(use.params, use.stores, now=use.run["now"])
            account = use.account(request.account_name)
            work = (use.engine, use.amazon(account.name), use.cipher, account, request, use.settings)
            how = {"is_dry_run": use.params["dry_run"], "dag_run_id": use.run_id}
            return PokeReturnValue(*steps.backfill_amazon_orders.run(*work, **how))

    @task(pre_execute=skip_if_dry, trigger_rule=TriggerRule.ALL_DONE, outlets=[Asset("orders://core/orders")])
    def stage_amazon_orders() -> dict[str, int]:
        """Turns the landed pages into core.orders, their lines and the history of their status."""
        with Resources() as use:
            return steps.stage_amazon_orders.run(use.engine, **use.run)

    read: Any = backfill_amazon_orders()
    stage_stores() >> read >> stage_amazon_orders() >> run_complete()


backfill_amazon_orders()
