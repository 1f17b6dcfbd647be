"""Carries out what a person decided about stopped writes: they go on with the next run, or they stay stopped.

Nothing is sent from here: approved rows are open in their outbox, and the next run of `amazon_orders_to_commerce` takes
them up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from include.domain.write_holds import APPROVE
from include.outbox.hold_decisions import (
    ApprovalRequest,
    Decision,
    decided_before,
    nothing_stopped,
    open_holds,
    read_answer,
    read_request,
    record,
)
from include.settings import Settings

log = logging.getLogger(__name__)


def run(
    engine: Engine,
    params: Mapping[str, Any],
    answer: Mapping[str, Any] | None,
    settings: Settings,
    *,
    user_name: str,
    now: datetime,
    dag_run_id: str,
) -> dict[str, str]:
    """Record the decision, and let approved writes go on. Returns the outcome of each store, by its name.

    `answer` is what Airflow's question came to; None when the params decide. Repeated by the same DAG run it changes
    nothing more. With the param `dry_run` nothing is written. Raises MisconfiguredError when the params decide about
    writes that are not stopped.
    """
    request = read_request(params)
    is_dry_run = bool(params.get("dry_run"))
    with engine.connect() as connection:
        outcomes = {
            row.store_name: _outcome(row.decision, row.decided_by) for row in decided_before(connection, dag_run_id)
        }
        if not outcomes:
            decision = _decision(request, answer, user_name)
            outcomes = _decide(connection, request, decision, settings, now=now, dag_run_id=dag_run_id)
            if not outcomes and answer is None:
                raise nothing_stopped(request)
        if not is_dry_run:
            connection.commit()
    prefix = "dry run, nothing was changed: " if is_dry_run else ""
    for store_name, outcome in outcomes.items():
        log.info("approve_held_writes: %s of %s: %s%s", request.kind, store_name, prefix, outcome)
    if not outcomes:
        log.info("approve_held_writes: somebody has approved the %s meanwhile; nothing to do.", request.hint())
    return {store_name: prefix + outcome for store_name, outcome in outcomes.items()}


def _decision(request: ApprovalRequest, answer: Mapping[str, Any] | None, user_name: str) -> Decision | None:
    if request.decision is not None:
        return Decision(request.decision, user_name, request.comment)
    return read_answer(answer) if answer is not None else None


def _decide(
    connection: Connection,
    request: ApprovalRequest,
    decision: Decision | None,
    settings: Settings,
    *,
    now: datetime,
    dag_run_id: str,
) -> dict[str, str]:
    outcomes = {}
    for hold in open_holds(connection, request):
        if decision is None:  # of a dry run
            outcomes[hold.store_name] = "A person would be asked."
            continue
        record(connection, hold, decision, until=now + settings.approval_validity, now=now, dag_run_id=dag_run_id)
        outcomes[hold.store_name] = _outcome(decision.decision, decision.decided_by)
    return outcomes


def _outcome(decision: str, decided_by: str) -> str:
    if decision == APPROVE:
        return f"Approved by {decided_by}; the next run goes on with them."
    return f"Declined by {decided_by}; they stay stopped until somebody approves them."
