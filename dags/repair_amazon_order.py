"""
**Does** — Carries out what a person decided about one order. `retry`: it is attempted again now, with all attempts.
`correct`: fields of its address, or the catalog SKU of a line, replace Amazon's for this order. `skip`: it is never
created in Commerce. `release`: takes a skip back. Every action is recorded with the user and the comment.

**Reads** — `core.orders`, `ops.order_outbox`, `ops.order_change_outbox`; `pii.order_contacts`, so that the comment does
not quote the buyer.

**Writes** — `core.orders`, `ops.order_outbox`, `ops.order_change_outbox`, `ops.order_repairs`,
`pii.order_corrections`. Nothing is sent: the next run of `amazon_orders_to_commerce` does what has become possible.

**Schedule** — Only when somebody triggers it. With `dry_run` it says what it would do and changes nothing.

**Safe to re-run because** — A run carries its action out once, in one transaction, under the lock of the order.

**When it fails** — The log says which param or which state of the order is in the way. Airflow keeps the params of a
run, so an address given here is readable for everybody who may see this DAG: delete the run when it is green.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from include import steps
from include.resources import Resources
from include.retry_policy import dag_defaults

PARAMS = {
    "amazon_order_id": Param(None, type=["null", "string"], description="Required. The order, as 902-1234567-1234567."),
    "action": Param(
        None,
        type=["null", "string"],
        enum=[None, "retry", "correct", "skip", "release"],
        description="Required. retry: attempt it again; correct: address or SKU; skip: never create it; release: undo.",
    ),
    "comment": Param(None, type=["null", "string"], description="Required. Why. No names, no addresses."),
    "address": Param(
        None,
        type=["null", "object"],
        description="For correct, all text: name, street (lines by \\n), city, region, postcode, country_code, phone.",
    ),
    "sku_map": Param(None, type=["null", "object"], description="For correct: Amazon's SKU -> catalog SKU."),
    "dry_run": Param(False, type="boolean", description="Say what would be done, and change nothing."),
}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=["commerce", "orders", "maintenance"],
    **dag_defaults(),
)
def repair_amazon_order() -> None:
    @task
    def repair_amazon_order() -> dict[str, str]:
        """Checks the request, changes the order's row, and records who asked for it and why."""
        with Resources() as use:
            repair = steps.repair_amazon_order.read_repair(use.params)
            who = {"is_dry_run": use.params["dry_run"], "repaired_by": use.user_name}
            return steps.repair_amazon_order.run(use.engine, use.cipher, repair, **who, **use.run)

    repair_amazon_order()


repair_amazon_order()
