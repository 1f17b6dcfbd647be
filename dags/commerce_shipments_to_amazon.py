"""
**Does** — Confirms to Amazon every package that the merchant shipped in Commerce, with tracking number and quantities
per line, and reads back whether Amazon has it. Also follows the cancellations that people asked for.

**Reads** — Commerce shipments that changed, and in turn those of all watched orders, for tracks added later; Commerce
orders that have ended; Amazon orders, to verify.

**Writes** — `raw.commerce_shipments`, `core.shipments` with lines and tracks, `ops.shipment_outbox`, what still holds
stock in `ops.order_outbox`, cursors, `ops.cancellation_outbox`; shipment confirmations, cancellations on Amazon.

**Schedule** — Every 10 minutes unless `ORDERS_SHIPMENT_SCHEDULE` says otherwise; one run at a time.

**Safe to re-run because** — Each package has a reference of its own for good, stored before the call; the same
reference again changes the same package on Amazon. Only what Amazon shows when it is read back counts as accepted.

**When it fails** — The red task's log ends with what happened and what to do. See `docs/runbook.md`.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, TriggerRule, dag, task

from include import steps
from include.resources import ACCOUNT, Resources, run_complete
from include.retry_policy import dag_defaults
from include.settings import Settings

AMAZON_SHIPMENTS = Asset("orders://ops/shipment_outbox")
TAGS = ["amazon", "commerce", "shipments", "writes-amazon"]


@dag(schedule=Settings.from_environment().shipment_schedule, doc_md=__doc__, tags=TAGS, **dag_defaults())
def commerce_shipments_to_amazon() -> None:
    @task
    def extract_commerce_shipments() -> dict[str, int]:
        """Lands the new and changed shipments of linked orders."""
        with Resources() as use:
            return steps.extract_commerce_shipments.run(use.engine, use.commerce, use.settings, **use.run)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def stage_commerce_shipments() -> list[str]:
        """Plans one package per tracking number; lists the accounts that have packages to send or to read back."""
        with Resources() as use:
            work = (use.engine, use.stores, use.carriers, use.settings)
            return steps.stage_commerce_shipments.run(*work, **use.timed_run)

    @task(pool="amazon_confirm_shipment", map_index_template=ACCOUNT)
    def push_amazon_shipments(account_name: str) -> dict[str, int]:
        """Confirms one account's planned packages to Amazon, one call each."""
        with Resources() as use:
            work = (use.engine, use.amazon(account_name), account_name, use.settings)
            return steps.push_amazon_shipments.run(*work, **use.timed_run)

    @task(trigger_rule=TriggerRule.ALL_DONE, map_index_template=ACCOUNT, outlets=[AMAZON_SHIPMENTS])
    def verify_amazon_shipments(account_name: str) -> dict[str, int]:
        """Reads back from Amazon which packages it has."""
        with Resources() as use:
            work = (use.engine, use.amazon(account_name), account_name, use.settings)
            return steps.verify_amazon_shipments.run(*work, **use.timed_run)

    @task
    def submit_cancellations() -> dict[str, int]:
        """Takes the cancellations that people asked for as far as Amazon is with them."""
        with Resources() as use:
            return steps.submit_cancellations.run(use.engine, use.cancellations, use.settings, **use.timed_run)

    extracted = extract_commerce_shipments()
    accounts: Any = stage_commerce_shipments()
    pushed = push_amazon_shipments.expand(account_name=accounts)
    verified = verify_amazon_shipments.expand(account_name=accounts)
    extracted >> accounts
    pushed >> verified
    # One's failure does not stop the others; the run is red all the same.
    [extracted, pushed, verified, submit_cancellations()] >> run_complete()


commerce_shipments_to_amazon()
