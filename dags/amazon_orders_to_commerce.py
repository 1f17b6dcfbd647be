"""
**Does** — Fetches new and changed orders from Amazon, checks them against the Commerce catalog, and creates a Commerce
order for each that may have one, exactly once. A blocked order holds only itself and is created by itself once its
blocker is solved.

**Reads** — `stores.yaml`; Amazon Selling Partner API (Orders 2026-01-01) per account; Commerce catalog and stock.

**Writes** — `raw.amazon_orders`, `pii.order_contacts`, `core.*`, `ops.*`; Commerce orders and their invoices. No mails.

**Schedule** — Every 5 minutes, one run at a time.

**Safe to re-run because** — A window's watermark moves only with its last page; older versions never replace newer
ones; an order is promised under a unique key before it is sent, and looked up before it is posted.

**When it fails** — Look at the red task's log: the last line says what happened and, after *Resolution*, what to do.
Wrong credentials or settings fail at once; an unreachable or throttling system is retried. Nothing is lost: the next
run goes on where this one stopped. See `docs/runbook.md`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, TriggerRule, dag, task

from include.resources import Resources, utc_now
from include.retry_policy import task_defaults
from include.settings import Settings

AMAZON_ORDERS = Asset("orders://core/orders")
VALIDATED_ORDERS = Asset("orders://ops/blocker_episodes")
COMMERCE_ORDERS = Asset("orders://ops/order_outbox")
ACCOUNT = "{{ task.op_kwargs['account_name'] }}"


@dag(
    schedule=Settings.from_environment().sync_schedule,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(),
    doc_md=__doc__,
    tags=["amazon", "commerce", "orders", "writes-commerce"],
)
def amazon_orders_to_commerce() -> None:
    @task
    def stage_stores() -> list[str]:
        """Keeps core.stores in step with stores.yaml and lists the accounts."""
        from include.steps import stage_stores as step

        with Resources() as use:
            return step.run(use.engine, use.stores, use.admin_urls(), now=utc_now(), dag_run_id=use.run_id)

    @task(pool="amazon_search_orders", map_index_template=ACCOUNT)
    def extract_amazon_orders(account_name: str) -> dict[str, int]:
        """Lands one account's new and changed orders, personal data split off and encrypted."""
        from include.steps import extract_amazon_orders as step

        with Resources() as use:
            account, client = use.account(account_name), use.amazon(account_name)
            return step.run(use.engine, client, use.cipher, account, use.settings, dag_run_id=use.run_id)

    @task(trigger_rule=TriggerRule.ALL_DONE, outlets=[AMAZON_ORDERS])
    def stage_amazon_orders() -> dict[str, int]:
        """Turns the landed pages into core.orders, their lines and the history of their status."""
        from include.steps import stage_amazon_orders as step

        with Resources() as use:
            return step.run(use.engine, now=utc_now(), dag_run_id=use.run_id)

    @task(outlets=[VALIDATED_ORDERS])
    def validate_orders() -> list[str]:
        """Finds blocker products and promises the sound orders; lists the accounts with work left."""
        from include.steps import validate_orders as step

        with Resources() as use:
            return step.run(use.engine, use.commerce, use.stores, now=utc_now(), dag_run_id=use.run_id)

    @task(pool="commerce_writes", map_index_template=ACCOUNT, outlets=[COMMERCE_ORDERS])
    def create_commerce_orders(account_name: str) -> dict[str, int]:
        """Creates and invoices one account's promised orders in Commerce, each exactly once."""
        from include.steps import create_commerce_orders as step

        with Resources() as use:
            return step.run(
                use.engine,
                use.commerce,
                use.cipher,
                account_name,
                use.stores,
                use.settings,
                clock=utc_now,
                dag_run_id=use.run_id,
            )

    accounts = stage_stores()
    extracted = extract_amazon_orders.expand(account_name=accounts)
    staged = stage_amazon_orders()
    work: Any = validate_orders()
    created = create_commerce_orders.expand(account_name=work)
    # One account's failure does not hold the others; the run is red all the same.
    run_complete = EmptyOperator(task_id="run_complete", trigger_rule=TriggerRule.NONE_FAILED)
    extracted >> staged >> work
    [extracted, created] >> run_complete


amazon_orders_to_commerce()
