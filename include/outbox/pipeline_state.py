"""The only door to `core.orders.pipeline_state`: a move and its history are one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, TextClause, text

# `wanted` lists amazon_order_id, to_code and reason, each order once. Only orders that really move get a new row of
# history; a move to the state that an order has already changes its reason.
_MOVE = """
    with wanted as ({wanted}),
    before as (
        select orders.amazon_order_id, orders.pipeline_state as from_code, wanted.to_code, wanted.reason
        from core.orders as orders
        inner join wanted on orders.amazon_order_id = wanted.amazon_order_id
        where orders.pipeline_state <> wanted.to_code or orders.state_reason is distinct from wanted.reason
        order by orders.amazon_order_id
        for update of orders
    ),
    moved as (
        update core.orders as orders
        set pipeline_state = before.to_code, state_reason = before.reason, dag_run_id = :dag_run_id, loaded_at = :now
        from before
        where orders.amazon_order_id = before.amazon_order_id
    )
    insert into core.order_status_changes (
        amazon_order_id, system_code, changed_at, to_code, from_code, reason, detected_at, dag_run_id
    )
    select amazon_order_id, 'pipeline', :now, to_code, from_code, reason, :now, :dag_run_id
    from before
    where from_code <> to_code
    on conflict do nothing
"""
_LISTED = """
    select * from unnest(
        cast(:order_ids as text[]), cast(:states as text[]), cast(:reasons as text[])
    ) as listed (amazon_order_id, to_code, reason)
"""


def move_orders(
    connection: Connection, moves: Sequence[tuple[str, str, str]], *, now: datetime, dag_run_id: str
) -> None:
    """Move orders to pipeline states and keep the history. `moves`: (amazon_order_id, state, reason), each order once.

    `now` is aware, UTC. In the caller's transaction.
    """
    if moves:
        order_ids, states, reasons = (list(column) for column in zip(*moves, strict=True))
        values = {"order_ids": order_ids, "states": states, "reasons": [reason[:500] for reason in reasons]}
        connection.execute(text(_MOVE.format(wanted=_LISTED)), values | {"now": now, "dag_run_id": dag_run_id})


def move_selected(
    connection: Connection, selection: TextClause, values: Mapping[str, Any], *, now: datetime, dag_run_id: str
) -> None:
    """Move all orders that `selection` lists as (amazon_order_id, to_code, reason), each once: set-based.

    `values` are the selection's parameters; it may use :now and :dag_run_id as well. In the caller's transaction.
    """
    statement = text(_MOVE.format(wanted=selection.text))
    connection.execute(statement, {**values, "now": now, "dag_run_id": dag_run_id})
