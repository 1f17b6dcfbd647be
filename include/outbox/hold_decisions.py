"""What a person decides about stopped writes: approve, or leave them stopped. Kept in `ops.write_hold_decisions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from include.database.statements import load_statements
from include.database.tables import write_hold_decisions, write_holds
from include.domain.errors import MisconfiguredError
from include.domain.write_holds import APPROVE, DECISIONS, DECLINE, HOLD_KINDS

TIME_OUT = "time-out"  # who decided when nobody did
_LONGEST_COMMENT = 500


@dataclass(frozen=True)
class ApprovalRequest:
    """What a DAG run is about. `store_name` None: every store of which such writes are stopped."""

    kind: str
    store_name: str | None
    decision: str | None  # None: a person is asked
    comment: str | None

    def hint(self) -> str:
        """How the writes are named in a sentence."""
        return f"{self.kind} of {self.store_name or 'all stores'}"


@dataclass(frozen=True)
class Decision:
    """`decision` is one of DECISIONS."""

    decision: str
    decided_by: str
    comment: str | None


def read_request(params: Mapping[str, Any]) -> ApprovalRequest:
    """The request that the params of a DAG run describe. Raises MisconfiguredError naming the param and why."""
    kind, decision = params.get("kind"), params.get("decision")
    if kind not in HOLD_KINDS:
        what = "is empty" if kind is None else f"is {kind!r}"
        raise MisconfiguredError(f"The param kind {what}. Resolution: use one of {', '.join(HOLD_KINDS)}.")
    if decision is not None and decision not in DECISIONS:
        raise MisconfiguredError(
            f"The param decision is {decision!r}. Resolution: use {' or '.join(DECISIONS)}, or leave it empty, and a "
            "person is asked."
        )
    return ApprovalRequest(kind, _text(params, "store_name"), decision, _text(params, "comment"))


def read_answer(answer: Mapping[str, Any]) -> Decision:
    """The decision in the result of Airflow's question. No user has answered: the time-out has."""
    user = answer.get("responded_by_user") or {}
    chosen = [str(option).lower() for option in answer["chosen_options"]]
    comment = (answer.get("params_input") or {}).get("comment")
    name = user.get("name") or user.get("id") or TIME_OUT
    return Decision(APPROVE if chosen == [APPROVE] else DECLINE, name, _shortened(comment))


def open_holds(connection: Connection, request: ApprovalRequest) -> list[Row[Any]]:
    """The stops that the request is about, with the number of orders that wait; locked until the transaction ends.

    Raises MisconfiguredError when the store is unknown.
    """
    statements = load_statements(__file__)
    if request.store_name is not None:
        known = list(connection.execute(statements["store_names"]).scalars())
        if request.store_name not in known:
            raise MisconfiguredError(
                f"The param store_name names {request.store_name}, which is no store. Resolution: use one of "
                f"{', '.join(known)}."
            )
    values = {"kind": request.kind, "store_name": request.store_name}
    return list(connection.execute(statements["open_holds"], values))


def nothing_stopped(request: ApprovalRequest) -> MisconfiguredError:
    """The error of a request about writes that are not stopped."""
    return MisconfiguredError(
        f"The {request.hint()} are not stopped: there is nothing to decide. Resolution: none needed; the view "
        "reporting.held_writes lists what is stopped."
    )


def decided_before(connection: Connection, dag_run_id: str) -> list[Row[Any]]:
    """What this DAG run has decided already: a task that is repeated decides nothing more."""
    query = (
        select(write_holds.c.store_name, write_hold_decisions.c.decision, write_hold_decisions.c.decided_by)
        .join(write_holds, write_holds.c.write_hold_id == write_hold_decisions.c.write_hold_id)
        .where(write_hold_decisions.c.dag_run_id == dag_run_id)
        .order_by(write_holds.c.store_name)
    )
    return list(connection.execute(query))


def record(
    connection: Connection, hold: Row[Any], decision: Decision, *, until: datetime, now: datetime, dag_run_id: str
) -> None:
    """Keep who decided what and why. An approved stop ends, and nothing of the kind is stopped again before `until`."""
    connection.execute(
        insert(write_hold_decisions).values(
            write_hold_id=hold.write_hold_id,
            dag_run_id=dag_run_id,
            decision=decision.decision,
            comment=decision.comment,
            decided_by=decision.decided_by,
            decided_at=now,
        )
    )
    approved = {"approved_at": now, "approved_until": until} if decision.decision == APPROVE else {}
    # Also of a declined one: its change publishes the orders that wait again.
    connection.execute(
        update(write_holds)
        .where(write_holds.c.write_hold_id == hold.write_hold_id)
        .values(dag_run_id=dag_run_id, **approved)
    )


def _text(params: Mapping[str, Any], name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise MisconfiguredError(f"The param {name} must be text. Resolution: put it in quotes, or leave it out.")
    return _shortened(value)


def _shortened(value: str | None) -> str | None:
    return (value or "").strip()[:_LONGEST_COMMENT] or None
