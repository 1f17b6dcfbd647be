"""
**Does** — Lets writes to Commerce go on that the circuit breaker has stopped, or leaves them stopped. With `decision`
the run decides at once. Without it, Airflow asks a person under *Required Actions*; no answer within
`ORDERS_APPROVAL_TIMEOUT_SECONDS` means *Decline*. Every decision is recorded with the user and the comment.

**Reads** — `ops.write_holds`: which stores are stopped, and why. The view `reporting.held_writes` shows the same.

**Writes** — `ops.write_holds`, `ops.write_hold_decisions`. Nothing is sent: the next run of `amazon_orders_to_commerce`
goes on with what is approved.

**Schedule** — Only when somebody triggers it, and several runs at once: one that waits for an answer delays no other.
With `dry_run` it says what would be decided and changes nothing.

**Safe to re-run because** — A run decides once, in one transaction; declined writes can be approved by a later run.

**When it fails** — The log says which param is wrong, or that nothing of this kind is stopped.
"""

from __future__ import annotations

from airflow.sdk import Param, TriggerRule, dag, task

from include import steps
from include.resources import Resources, ask_a_person
from include.retry_policy import dag_defaults

PARAMS = {
    "kind": Param(
        None, type=["null", "string"], enum=[None, "orders", "cancellations", "refunds"], description="Required."
    ),
    "store_name": Param(
        None, type=["null", "string"], description="Store of stores.yaml; default: all that are stopped."
    ),
    "decision": Param(
        None, type=["null", "string"], enum=[None, "approve", "decline"], description="Default: a person is asked."
    ),
    "comment": Param(None, type=["null", "string"], description="Why. No names, no addresses."),
    "dry_run": Param(False, type="boolean", description="Say what would be decided, and change nothing."),
}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=["commerce", "orders", "maintenance"],
    **dag_defaults() | {"max_active_runs": 16},
)
def approve_held_writes() -> None:
    @task
    def describe_held_writes() -> str:
        """Checks the request, and says what is stopped and why."""
        with Resources() as use:
            return steps.describe_held_writes.run(use.engine, use.params, use.settings, dag_run_id=use.run_id)

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def approve_held_writes() -> dict[str, str]:
        """Records the decision, and lets the writes go on that are approved."""
        with Resources() as use:
            work = (use.engine, use.params, use.answer, use.settings)
            return steps.approve_held_writes.run(*work, user_name=use.user_name, **use.run)

    described = describe_held_writes()
    asked = ask_a_person(
        subject="Writes to Commerce are stopped: {{ params.kind }} of {{ params.store_name or 'all stores' }}",
        body="{{ ti.xcom_pull(task_ids='describe_held_writes') }}",
        options=["Approve", "Decline"],
        default="Decline",
    )
    described >> asked >> approve_held_writes()


approve_held_writes()
