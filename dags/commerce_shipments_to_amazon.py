"""
**Does** — Tells Amazon about every package that the merchant shipped in Commerce, with tracking number and quantities
per line, and learns whether Amazon took it.

**Reads** — Commerce shipments of the linked orders that are not finished; Amazon orders, to verify.

**Writes** — `raw.commerce_shipments`, `core.shipments` with lines and tracks, `ops.shipment_outbox`; shipment
confirmations on Amazon.

**Schedule** — Every 10 minutes, one run at a time.

**Safe to re-run because** — Each package has its own number for good, stored before the call; the same number again
changes the same package on Amazon. Only what Amazon shows when it is read back counts as accepted.

**When it fails** — Look at the red task's log: the last line says what happened and, after *Resolution*, what to do. A
refused package holds itself only and is explained in the order's notes. See `docs/runbook.md`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, TriggerRule, dag, task

from include.resources import Resources, utc_now
from include.retry_policy import task_defaults
from include.settings import Settings

AMAZON_SHIPMENTS = Asset("orders://ops/shipment_outbox")
ACCOUNT = "{{ task.op_kwargs['account_name'] }}"


@dag(
    schedule=Settings.from_environment().shipment_schedule,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(),
    doc_md=__doc__,
    tags=["amazon", "commerce", "shipments", "writes-amazon"],
)
def commerce_shipments_to_amazon() -> None:
    @task
    def extract_commerce_shipments() -> dict[str, int]:
        """Lands the shipments of every linked order that is not finished on Amazon."""
        from include.steps import extract_commerce_shipments as step

        with Resources() as use:
            return step.run(use.engine, use.commerce, use.settings, now=utc_now(), dag_run_id=use.run_id)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def stage_commerce_shipments() -> list[str]:
        """Plans one package per tracking number; lists the accounts that have packages to tell of or to verify."""
        from include.steps import stage_commerce_shipments as step

        with Resources() as use:
            return step.run(use.engine, use.settings, clock=utc_now, dag_run_id=use.run_id)

    @task(pool="amazon_confirm_shipment", map_index_template=ACCOUNT)
    def push_amazon_shipments(account_name: str) -> dict[str, int]:
        """Confirms one account's planned packages on Amazon, one call each."""
        from include.steps import push_amazon_shipments as step

        with Resources() as use:
            client = use.amazon(account_name)
            return step.run(use.engine, client, account_name, use.settings, clock=utc_now, dag_run_id=use.run_id)

    @task(trigger_rule=TriggerRule.ALL_DONE, map_index_template=ACCOUNT, outlets=[AMAZON_SHIPMENTS])
    def verify_amazon_shipments(account_name: str) -> dict[str, int]:
        """Reads back from Amazon which packages it has."""
        from include.steps import verify_amazon_shipments as step

        with Resources() as use:
            client = use.amazon(account_name)
            return step.run(use.engine, client, account_name, use.settings, clock=utc_now, dag_run_id=use.run_id)

    extracted = extract_commerce_shipments()
    accounts: Any = stage_commerce_shipments()
    pushed = push_amazon_shipments.expand(account_name=accounts)
    verified = verify_amazon_shipments.expand(account_name=accounts)
    # One shop's or account's failure does not hold the others; the run is red all the same.
    run_complete = EmptyOperator(task_id="run_complete", trigger_rule=TriggerRule.NONE_FAILED)
    extracted >> accounts
    pushed >> verified
    [extracted, pushed, verified] >> run_complete


commerce_shipments_to_amazon()
