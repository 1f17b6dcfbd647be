"""`ops.write_holds`: the circuit breaker. Opens a stop of a store's writes to Commerce, and says what is stopped.

The check runs right before the writes, on exactly the rows that are about to be sent, so that no row passes unchecked,
whatever runs beside it. Rows that are stopped stay open in their outbox. Only `include/steps/approve_held_writes.py`
lets them go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row

from include.database.statements import load_statements
from include.domain.errors import MisconfiguredError, OrdersError
from include.domain.write_holds import (
    CANCELLATIONS,
    ORDERS,
    RECENT_ORDERS,
    REFUNDS,
    Limits,
    Norm,
    Reason,
    Seen,
    Streak,
    evaluate_changes,
    evaluate_orders,
    evaluate_streak,
)
from include.settings import Settings

log = logging.getLogger(__name__)

_DAY = timedelta(days=1)


def accounts_with_stops(connection: Connection) -> list[str]:
    """The accounts of which writes wait that are stopped: their runs must say so."""
    return list(connection.execute(load_statements(__file__)["accounts_with_stops"]).scalars())


def stopped_writes(connection: Connection, account_name: str) -> dict[str, OrdersError]:
    """What of the account is stopped, and why, by store and kind: the run must be red."""
    rows = connection.execute(load_statements(__file__)["stopped"], {"account_name": account_name})
    return {
        f"{row.kind} of {row.store_name}": MisconfiguredError(
            f"{row.reason} Nothing of this kind is written until a person approves it. Resolution: trigger the DAG "
            f"approve_held_writes with kind {row.kind} and store_name {row.store_name}."
        )
        for row in rows
    }


def stop_of_order(connection: Connection, order_id: str, store_name: str) -> str | None:
    """Why the creation of an order of this store is stopped, planned or not; None: it is not."""
    values = {"order_id": order_id, "store_name": store_name}
    reason: str | None = connection.execute(load_statements(__file__)["stop_of_order"], values).scalar_one_or_none()
    return None if reason is None else f"The orders of the store are stopped: {reason}"


class WriteHolds:
    """The breaker in one run."""

    def __init__(self, engine: Engine, settings: Settings, *, clock: Callable[[], datetime], dag_run_id: str) -> None:
        """`clock` gives the time, aware, UTC."""
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._dag_run_id = dag_run_id
        self._store_of_planned: dict[str, str] = {}
        self._stopped_stores: set[str] = set()
        self._limits = Limits(
            history_orders=settings.breaker_history_orders,
            history_days=settings.breaker_history_minimum.days,
            minimum_orders=settings.breaker_minimum_orders,
            volume_factor=settings.breaker_volume_factor,
            price_factor=settings.breaker_price_factor,
            blocked_percent=settings.breaker_blocked_percent,
            refusals=settings.breaker_refusals,
            totals=settings.breaker_totals,
        )

    def check_orders(self, order_ids: Sequence[str]) -> None:
        """Stop the stores whose orders, of these that are due, are far off the norm where they are to be created."""
        if not order_ids:
            return
        statements = load_statements(__file__)
        amounts: dict[str, dict[str, Any]] = {}
        with self._engine.begin() as connection:
            for row in connection.execute(statements["waiting_orders"], {"order_ids": list(order_ids)}):
                self._store_of_planned[row.amazon_order_id] = row.store_name
                amounts.setdefault(row.store_name, {})[row.amazon_order_id] = row.grand_total_amount
            names = self._to_check(connection, ORDERS, amounts)
            if not names:
                return
            norms = self._norms(connection, names)
            values = {"store_names": names, "day_ago": self._clock() - _DAY}
            for row in connection.execute(statements["last_day"], values).all():
                seen = Seen(amounts[row.store_name], row.created_count, row.blocked_count)
                reason = evaluate_orders(seen, self._norm(norms[row.store_name]), self._limits)
                if reason is not None:
                    self._open(connection, row.store_name, ORDERS, reason)

    def check_changes(self, store_names: Iterable[str]) -> None:
        """Stop the cancellations or refunds of these stores, which are about to be sent, if they are too many."""
        with self._engine.begin() as connection:
            for kind in (CANCELLATIONS, REFUNDS):
                names = self._to_check(connection, kind, store_names)
                if not names:
                    continue
                norms = self._norms(connection, names)
                values = {"store_names": names, "kind": kind, "day_ago": self._clock() - _DAY}
                for row in connection.execute(load_statements(__file__)["last_day_changes"], values).all():
                    norm = norms[row.store_name]
                    busiest = norm.busiest_cancellation_count if kind == CANCELLATIONS else norm.busiest_refund_count
                    reason = evaluate_changes(kind, row.change_count, busiest, self._limits)
                    if reason is not None:
                        self._open(connection, row.store_name, kind, reason)

    def is_in_stopped_store(self, order_id: str) -> bool:
        """Whether this run has stopped the store of an order that is to be created: it takes no share of its limit."""
        return self._store_of_planned.get(order_id) in self._stopped_stores

    def is_order_stopped(self, order_id: str, store_name: str) -> bool:
        """Whether this order, which is about to be created, is stopped, also by how those before it have fared."""
        values = {"order_id": order_id, "store_name": store_name, "now": self._clock(), "recent_orders": RECENT_ORDERS}
        with self._engine.begin() as connection:
            row = connection.execute(load_statements(__file__)["gate"], values).one()
            if row.reason is not None:
                return not row.is_trial
            if row.is_approved:
                return False
            streak = Streak(row.refused_count, row.last_refusal, row.recent_count, row.differing_count)
            reason = evaluate_streak(streak, self._limits)
            if reason is not None:
                self._open(connection, store_name, ORDERS, reason)
            return reason is not None

    def is_change_stopped(self, connection: Connection, store_name: str, *, is_refund: bool) -> bool:
        """Whether a cancellation or a refund of the store is stopped."""
        values = {"store_name": store_name, "kind": REFUNDS if is_refund else CANCELLATIONS}
        return connection.execute(load_statements(__file__)["change_hold"], values).first() is not None

    def _to_check(self, connection: Connection, kind: str, store_names: Iterable[str]) -> list[str]:
        values = {"store_names": sorted(set(store_names)), "kind": kind, "now": self._clock()}
        return list(connection.execute(load_statements(__file__)["stores_to_check"], values).scalars())

    def _norms(self, connection: Connection, store_names: Sequence[str]) -> dict[str, Row[Any]]:
        """What is normal for these stores, computed anew when it is older than a day."""
        statements, now = load_statements(__file__), self._clock()
        values = {"store_names": list(store_names), "outdated_since": now - _DAY}
        missing = list(connection.execute(statements["stores_without_norm"], values).scalars())
        if missing:
            history = {"history_from": now - self._settings.breaker_history - _DAY, "history_to": now - _DAY}
            stamp = {"now": now, "dag_run_id": self._dag_run_id}
            connection.execute(statements["compute_norms"], {"store_names": missing} | history | stamp)
        return {row.store_name: row for row in connection.execute(statements["norms"], values)}

    def _norm(self, row: Row[Any]) -> Norm:
        names = [name for name in Norm.__dataclass_fields__ if name != "days"]
        return Norm(days=self._settings.breaker_history.days, **{name: getattr(row, name) for name in names})

    def _open(self, connection: Connection, store_name: str, kind: str, reason: Reason) -> None:
        values = {
            "store_name": store_name,
            "kind": kind,
            "reason_code": reason.code,
            "reason": reason.sentence[:500],
            "seen_value": reason.seen,
            "limit_value": reason.limit,
            "order_ids": list(reason.order_ids) if reason.order_ids is not None else None,
            "now": self._clock(),
            "dag_run_id": self._dag_run_id,
        }
        if kind == ORDERS and reason.order_ids is None:
            self._stopped_stores.add(store_name)
        if connection.execute(load_statements(__file__)["open_hold"], values).rowcount:
            part = f"{len(reason.order_ids)} of its " if reason.order_ids is not None else ""
            log.error(
                "store=%s: %s%s stopped: %s Resolution: decide with the DAG approve_held_writes.",
                store_name,
                part,
                kind,
                reason.sentence,
            )
