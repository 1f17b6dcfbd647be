"""The one place that moves an order's pipeline state: row and history together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

_MOVE = text(
    """
    with wanted as (
        select * from unnest(
            cast(:order_ids as text[]), cast(:states as text[]), cast(:reasons as text[])
        ) as wanted (amazon_order_id, to_code, reason)
    ),
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
        set pipeline_state = before.to_code, state_reason = before.reason, dag_run_id = :dag_run_id, loaded_at = :at
        from before
        where orders.amazon_order_id = before.amazon_order_id
    )
    insert into core.order_status_changes (
        amazon_order_id, system_code, changed_at, to_code, from_code, reason, detected_at, dag_run_id
    )
    select amazon_order_id, 'pipeline', :at, to_code, from_code, reason, :at, :dag_run_id
    from before
    where from_code <> to_code
    on conflict do nothing
    """
)


def move_orders(
    connection: Connection, moves: Sequence[tuple[str, str, str]], *, at: datetime, dag_run_id: str
) -> None:
    """Move orders to pipeline states and keep the history. `moves`: (amazon_order_id, state, reason), each order once.

    A move to the state that the order has already changes the reason only. `at` is aware, UTC.
    """
    if moves:
        order_ids, states, reasons = (list(column) for column in zip(*moves, strict=True))
        connection.execute(
            _MOVE, {"order_ids": order_ids, "states": states, "reasons": reasons, "at": at, "dag_run_id": dag_run_id}
        )
