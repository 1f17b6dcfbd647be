"""
**Does** — Cancels orders on Amazon for the seller: whole orders that Amazon reports as Unshipped and that the merchant
fulfills. Who asked, when and why is kept. Amazon carries a cancellation out within minutes or hours; once it reports
the order as canceled, the next run of `amazon_orders_to_commerce` cancels or credits the Commerce order.

**Reads** — `core.orders`, `core.order_items`, `core.shipments`; `pii.order_contacts`, so that the comment does not
quote the buyer; Amazon's feeds and their reports.

**Writes** — `ops.cancellation_outbox`, `ops.amazon_feeds`; order acknowledgement feeds on Amazon.

**Schedule** — Only when somebody triggers it; `commerce_shipments_to_amazon` follows the feeds. With `dry_run` it says
what it would do and changes nothing.

**Safe to re-run because** — An order has one open cancellation. Every step of a feed is committed before and after its
call; a feed whose creation nobody saw is looked up on Amazon, twice, before it is created again.

**When it fails** — The log says for each order that cannot be canceled why, and what to do; all others are submitted.
The orders' notes say how their cancellations stand. See `docs/runbook.md`.
"""

from __future__ import annotations

from airflow.sdk import Asset, Param, TriggerRule, dag, task

from include import steps
from include.resources import Resources, run_complete
from include.retry_policy import dag_defaults

AMAZON_CANCELLATIONS = Asset("orders://ops/cancellation_outbox")
REASONS = ["NO_INVENTORY", "BUYER_CANCELED", "SHIPPING_ADDRESS_UNDELIVERABLE", "CUSTOMER_EXCHANGE", "PRICING_ERROR"]
PARAMS = {
    "amazon_order_ids": Param(None, type=["null", "array"], description='As ["902-1234567-1234567"].'),
    "reason": Param(None, type=["null", "string"], enum=[None, *REASONS], description="What Amazon is told."),
    "comment": Param(None, type=["null", "string"], description="Why, for us. No names, no addresses."),
    "dry_run": Param(False, type="boolean", description="Say what would be done, and change nothing."),
}
TAGS = ["amazon", "orders", "maintenance", "writes-amazon"]


@dag(schedule=None, is_paused_upon_creation=False, params=PARAMS, doc_md=__doc__, tags=TAGS, **dag_defaults())
def cancel_amazon_order() -> None:
    @task
    def cancel_amazon_order() -> dict[str, str]:
        """Checks each order, and plans the cancellations that are possible with who asked and why."""
        with Resources() as use:
            request = steps.cancel_amazon_order.read_request(use.params)
            who = {"is_dry_run": use.params["dry_run"], "requested_by": use.user_name}
            return steps.cancel_amazon_order.run(use.engine, use.cipher, request, **who, **use.run)

    @task(trigger_rule=TriggerRule.ALL_DONE, outlets=[AMAZON_CANCELLATIONS])
    def submit_cancellations() -> dict[str, int]:
        """Submits what is planned to Amazon, and follows what was submitted before."""
        with Resources() as use:
            work = (use.engine, use.cancellations, use.settings)
            return steps.submit_cancellations.run(*work, **use.timed_run, is_dry_run=use.params["dry_run"])

    # What cannot be canceled does not stop the rest; the run is red all the same.
    planned = cancel_amazon_order()
    [planned, planned >> submit_cancellations()] >> run_complete()


cancel_amazon_order()
