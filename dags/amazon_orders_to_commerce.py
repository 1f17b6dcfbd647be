"""
**Does** — Fetches new and changed orders from Amazon, checks them against the Commerce catalog, and creates a Commerce
order for each that may have one, exactly once. A blocked order delays only itself, until its blocker is solved.

**Reads** — `stores.yaml`; Amazon Selling Partner API (Orders 2026-01-01) per account; Commerce catalog and stock.

**Writes** — `raw.amazon_orders`, `pii.order_contacts`, `core.*`, `ops.*`; Commerce orders and their invoices. No mails.

**Schedule** — Every 5 minutes unless `ORDERS_SYNC_SCHEDULE` says otherwise; one run at a time. With `dry_run` nothing
is sent: the log and `ops.dry_run_results` say what would be created, blocked or changed.

**Safe to re-run because** — A watermark moves only with its last page; an order is looked up before it is posted.

**When it fails** — The red task's log ends with what happened and what to do. Nothing is lost. See `docs/runbook.md`.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, Param, TriggerRule, dag, task

from include import steps
from include.resources import ACCOUNT, Resources, run_complete
from include.retry_policy import dag_defaults
from include.settings import Settings

TAGS = ["amazon", "commerce", "orders", "writes-commerce"]
PARAMS = {
    "accounts": Param(None, type=["null", "array"], description="Accounts of stores.yaml; default: all."),
    "dry_run": Param(False, type="boolean", description="Only report what would be done (ops.dry_run_results)."),
}


@dag(schedule=Settings.from_environment().sync_schedule, params=PARAMS, doc_md=__doc__, tags=TAGS, **dag_defaults())
def amazon_orders_to_commerce() -> None:
    @task
    def stage_stores() -> list[str]:
        """Keeps core.stores in step with stores.yaml and lists the accounts."""
        with Resources() as use:
            return use.selected(steps.stage_stores.run(use.engine, use.stores, use.admin_urls(), **use.run))

    @task(pool="amazon_search_orders", map_index_template=ACCOUNT)
    def extract_amazon_orders(account_name: str) -> dict[str, int]:
        """Lands one account's new and changed orders, personal data split off and encrypted."""
        with Resources() as use:
            work = (use.engine, use.amazon(account_name), use.cipher, use.account(account_name), use.settings)
            return steps.extract_amazon_orders.run(*work, dag_run_id=use.run_id)

    @task(trigger_rule=TriggerRule.ALL_DONE, outlets=[Asset("orders://core/orders")])
    def stage_amazon_orders() -> dict[str, int]:
        """Turns the landed pages into core.orders, their lines and the history of their status."""
        with Resources() as use:
            return steps.stage_amazon_orders.run(use.engine, **use.run)

    @task(outlets=[Asset("orders://ops/blocker_episodes")])
    def validate_orders() -> list[str]:
        """Checks the orders for blockers and plans those that pass; lists the accounts with work left."""
        with Resources() as use:
            work = (use.engine, use.commerce, use.stores, use.settings)
            return use.selected(steps.validate_orders.run(*work, **use.run, is_dry_run=use.params["dry_run"]))

    @task(pool="commerce_writes", map_index_template=ACCOUNT, outlets=[Asset("orders://ops/order_outbox")])
    def create_commerce_orders(account_name: str) -> dict[str, int]:
        """Creates and invoices one account's planned orders in Commerce, each exactly once."""
        with Resources() as use:
            work = (use.engine, use.commerce, use.cipher, account_name, use.stores, use.settings)
            return steps.create_commerce_orders.run(*work, **use.timed_run, is_dry_run=use.params["dry_run"])

    accounts: Any = stage_stores()
    extracted = extract_amazon_orders.expand(account_name=accounts)
    with_work: Any = validate_orders()
    created = create_commerce_orders.expand(account_name=with_work)
    extracted >> stage_amazon_orders() >> with_work >> created
    # One account's failure does not stop the others; the run is red all the same.
    [extracted, created] >> run_complete()


amazon_orders_to_commerce()
