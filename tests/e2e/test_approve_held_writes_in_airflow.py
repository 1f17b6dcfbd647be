"""Stopped writes in real Airflow: a red run, a decision by `dags test`, and one that a person gives when asked."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from include.database.engine import make_engine
from local.airflow_api import AirflowApi
from tests.support.installation import ORDERS, Installation
from tests.support.orders import order_id
from tests.support.scheduled_airflow import scheduled

APPROVE = "approve_held_writes"
STORE, PRICE = "Acme US", "The totals look wrong."
RUN_SECONDS = 600  # only a safety net
QUESTION = "ask_a_person"


def stop(installation: Installation) -> None:
    """The breaker has stopped the orders of a store. The store is known after a first run."""
    with make_engine(installation.orders_url, application_name="tests").begin() as connection:
        connection.execute(
            text(
                "insert into ops.write_holds (store_name, account_name, kind, reason_code, reason, seen_value,"
                " limit_value, opened_at, dag_run_id)"
                " values (:store, 'acme-na', 'orders', 'price', :reason, 1, 1, now(), 'test')"
            ),
            {"store": STORE, "reason": PRICE},
        )


def buy(installation: Installation, number: int) -> str:
    installation.buy(order_id(number), {"TRAY-WALNUT": 1})
    installation.sandbox.clock.advance(timedelta(minutes=10))
    return order_id(number)


def in_shop(installation: Installation) -> list[str]:
    return [order["ext_order_id"] for order in installation.sandbox.commerce.orders()]


def test_orders_go_on_when_a_run_is_given_the_decision(installation: Installation) -> None:
    with installation.console() as dags_test:
        assert dags_test(ORDERS).state == "success"
        stop(installation)
        one = buy(installation, 1)
        red = dags_test(ORDERS)
        assert red.state == "failed"
        assert red.task("create_commerce_orders", "acme-na").tries == 1, "only a person can help"
        assert f"orders of {STORE}: {PRICE} Nothing of this kind is written until a person approves it." in red.output
        assert in_shop(installation) == []
        for conf, message in (
            ({}, "The param kind is empty. Resolution: use one of orders, cancellations, refunds."),
            ({"kind": "refunds", "decision": "approve"}, "The refunds of all stores are not stopped"),
            ({"kind": "orders", "decision": "approve", "shop": "x"}, "has no param shop"),
        ):
            refused = dags_test(APPROVE, **conf)
            assert refused.state == "failed"
            assert message in refused.output
        rehearsed = dags_test(APPROVE, kind="orders", dry_run=True)
        assert rehearsed.state == "success", rehearsed.output[-3000:]
        assert "dry run, nothing was changed: A person would be asked." in rehearsed.output
        declined = dags_test(APPROVE, kind="orders", store_name=STORE, decision="decline", comment="Not yet.")
        assert declined.state == "success", declined.output[-3000:]
        assert dags_test(ORDERS).state == "failed"
        assert in_shop(installation) == []
        approved = dags_test(APPROVE, kind="orders", store_name=STORE, decision="approve")
        assert approved.state == "success", approved.output[-3000:]
        assert dags_test(ORDERS).state == "success"
    assert in_shop(installation) == [one]
    kept = installation.rows("select decision, decided_by, comment from ops.write_hold_decisions order by decided_by")
    assert [tuple(row) for row in kept] == [("decline", "dag_test", "Not yet."), ("approve", "dag_test", None)]


def ask(api: AirflowApi) -> str:
    """Trigger a run that asks a person, and return its id when it waits."""
    conf = {"kind": "orders", "store_name": STORE}
    body: dict[str, Any] = {"logical_date": None, "conf": conf}
    run_id: str = api._send("POST", f"/api/v2/dags/{APPROVE}/dagRuns", body)["dag_run_id"]
    deadline = time.monotonic() + RUN_SECONDS
    while not any(t["task_id"] == QUESTION and t["state"] == "awaiting_input" for t in api._tasks(APPROVE, run_id)):
        assert time.monotonic() < deadline, api._tasks(APPROVE, run_id)
        time.sleep(0.5)
    return run_id


def let_time_run_out(installation: Installation, run_id: str) -> None:
    """The moment until which Airflow waits for the answer has come. It was counted from when the task began to wait."""
    with make_engine(installation.metadata_url, application_name="tests").begin() as connection:
        waited = connection.execute(
            text(
                "update task_instance set trigger_timeout = now() where run_id = :run_id and task_id = :task_id"
                " returning (select old.trigger_timeout - old.start_date from task_instance as old"
                " where old.id = task_instance.id)"
            ),
            {"run_id": run_id, "task_id": QUESTION},
        ).scalar_one()
    assert timedelta(seconds=RUN_SECONDS) <= waited < timedelta(seconds=2 * RUN_SECONDS)


def test_person_is_asked_and_the_time_out_declines_when_a_run_has_no_decision(installation: Installation) -> None:
    installation.settings |= {"ORDERS_APPROVAL_TIMEOUT_SECONDS": str(RUN_SECONDS)}
    with installation.console() as dags_test:
        assert dags_test(ORDERS).state == "success"
    stop(installation)
    with scheduled(installation) as api:
        # Airflow 3.3.2 asks again when it is answered before its executor has reported that the task began to wait: the
        # question that is answered is older than a whole run.
        answered = ask(api)
        unanswered = ask(api)
        path = f"/api/v2/dags/{APPROVE}/dagRuns/{answered}/taskInstances/{QUESTION}/-1/hitlDetails"
        question = api._get(path)
        assert question["subject"] == f"Writes to Commerce are stopped: orders of {STORE}"
        assert f"- **{STORE}**: {PRICE} 0 orders wait." in question["body"]
        assert (question["options"], question["defaults"]) == (["Approve", "Decline"], ["Decline"])
        answer = {"chosen_options": ["Decline"], "params_input": {"comment": "I look first."}}
        api._send("PATCH", path, answer)
        api.wait_for_run(APPROVE, answered, RUN_SECONDS)
        let_time_run_out(installation, unanswered)
        api.wait_for_run(APPROVE, unanswered, RUN_SECONDS)
    kept = installation.rows("select decision, decided_by, comment from ops.write_hold_decisions order by decided_by")
    assert [tuple(row) for row in kept] == [("decline", "admin", "I look first."), ("decline", "time-out", None)]
    (held,) = installation.rows("select decision, decided_by from reporting.held_writes")
    assert tuple(held) == ("decline", "time-out")
