"""What Recent Orders reads, as the role `orders_ui`: one page of orders by keyset, and the facts around the table.

Each statement reads a bounded number of index entries, however many orders there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, Subquery, column, func, literal_column, select, table, tuple_
from sqlalchemy.sql.elements import ColumnElement

from include.database.tables import order_contacts, recent_orders
from include.pages.shell.formatting import COUNT_LIMIT


@dataclass(frozen=True)
class Cursor:
    """One order's place in the table, which is sorted by purchase time (UTC), then by Amazon's order id."""

    purchased_at: datetime
    amazon_order_id: str

    def __str__(self) -> str:
        return f"{self.purchased_at.astimezone(UTC).isoformat()}~{self.amazon_order_id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor that `str` wrote. Raises ValueError for anything else."""
        moment, separator, amazon_order_id = text.partition("~")
        purchased_at = datetime.fromisoformat(moment)
        if not separator or not amazon_order_id or purchased_at.tzinfo is None:
            raise ValueError("not a cursor")
        return cls(purchased_at, amazon_order_id)


@dataclass(frozen=True)
class Filters:
    """Which orders to show; empty means all. Values that no order has show nothing."""

    store: str = ""
    status: str = ""


@dataclass(frozen=True)
class OrderRow:
    """One row of the table. The amount is in `currency_code`, the time in UTC, the contact a Fernet token."""

    store_name: str
    purchased_at: datetime
    amazon_order_id: str
    status: str
    grand_total_amount: Decimal | None
    currency_code: str | None
    order_notes: str
    order_url: str
    commerce_order_number: str | None
    contact_encrypted: bytes | None

    @property
    def cursor(self) -> Cursor:
        """Its place in the table."""
        return Cursor(self.purchased_at, self.amazon_order_id)


@dataclass(frozen=True)
class OrderPage:
    """Rows, newest first; `newer` and `older` are the cursors of the pages beside it, if there may be any."""

    rows: list[OrderRow]
    newer: Cursor | None
    older: Cursor | None
    is_first: bool


@dataclass(frozen=True)
class HeldWrites:
    """Writes of one store to Commerce that are stopped until a person decides; times are UTC.

    `is_whole_store` False: only single orders are stopped. `decided_by` has declined; None: nobody has decided.
    """

    store_name: str
    kind: str
    reason: str
    is_whole_store: bool
    waiting_count: int
    opened_at: datetime
    decided_by: str | None
    decided_at: datetime | None


@dataclass(frozen=True)
class Overview:
    """What stands around the table: all stores and statuses that orders have, and the newest change (UTC).

    `blocked_counts` has the stores with blocked orders; `unreadable_count` is the number of Amazon's order documents
    that are quarantined. These counts stop at COUNT_LIMIT + 1.
    """

    stores: list[str]
    statuses: list[str]
    blocked_counts: dict[str, int]
    newest_change_at: datetime | None
    unreadable_count: int
    held_writes: list[HeldWrites]


def read_page(
    connection: Connection,
    filters: Filters,
    page_size: int,
    *,
    before: Cursor | None = None,
    after: Cursor | None = None,
) -> OrderPage:
    """The newest `page_size` orders; with `before` those that follow it in the table, with `after` those above it."""
    if after is not None:
        rows = _read_rows(connection, filters, page_size, after=after)
        if len(rows) > page_size:
            rows = rows[-page_size:]
            return OrderPage(rows, newer=rows[0].cursor, older=rows[-1].cursor, is_first=False)
        # The top is reached: show the whole first page, not what happens to stand above `after`.
        before = None
    rows = _read_rows(connection, filters, page_size, before=before)
    has_more = len(rows) > page_size
    rows = rows[:page_size]
    return OrderPage(
        rows,
        newer=rows[0].cursor if rows and before is not None else None,
        older=rows[-1].cursor if rows and has_more else None,
        is_first=before is None,
    )


def _read_rows(
    connection: Connection,
    filters: Filters,
    page_size: int,
    *,
    before: Cursor | None = None,
    after: Cursor | None = None,
) -> list[OrderRow]:
    """The page's rows, newest first, and one more if the table goes on in that direction."""
    orders = recent_orders.c
    place = tuple_(orders.purchased_at, orders.amazon_order_id)
    conditions: list[ColumnElement[bool]] = []
    if filters.store:
        conditions.append(orders.store_name == filters.store)
    if filters.status:
        conditions.append(orders.status == filters.status)
    if after is not None:
        conditions.append(place > tuple_(after.purchased_at, after.amazon_order_id))
    elif before is not None:
        conditions.append(place < tuple_(before.purchased_at, before.amazon_order_id))
    order = (
        (orders.purchased_at, orders.amazon_order_id)
        if after is not None
        else (orders.purchased_at.desc(), orders.amazon_order_id.desc())
    )
    # The page's keys come from an index alone. With all columns in this part, PostgreSQL may prefer the index that
    # lacks the filter's columns, and read every newer order that the filter leaves out.
    keys = (
        select(orders.purchased_at, orders.amazon_order_id)
        .where(*conditions)
        .order_by(*order)
        .limit(page_size + 1)
        .subquery()
    )
    statement = (
        select(
            orders.store_name,
            orders.purchased_at,
            orders.amazon_order_id,
            orders.status,
            orders.grand_total_amount,
            orders.currency_code,
            orders.order_notes,
            orders.order_url,
            orders.commerce_order_number,
            order_contacts.c.contact_encrypted,
        )
        .select_from(keys)
        .join(recent_orders, orders.amazon_order_id == keys.c.amazon_order_id)
        .outerjoin(order_contacts, order_contacts.c.amazon_order_id == keys.c.amazon_order_id)
        .order_by(keys.c.purchased_at.desc(), keys.c.amazon_order_id.desc())
    )
    return [OrderRow(**row) for row in connection.execute(statement).mappings()]


def _distinct(wanted: ColumnElement[str], *conditions: ColumnElement[bool]) -> Subquery:
    """The distinct values of an index's first column as `value`, sorted, at the cost of one look-up each.

    PostgreSQL itself would read the whole index (https://wiki.postgresql.org/wiki/Loose_indexscan).
    """
    smallest = select(func.min(wanted).label("value")).where(*conditions)
    found = smallest.cte("found", recursive=True)
    following = smallest.where(wanted > found.c.value).scalar_subquery()
    found = found.union_all(select(following).where(found.c.value.is_not(None)))
    return select(found.c.value).where(found.c.value.is_not(None)).order_by(found.c.value).subquery()


def _count(rows: Select[Any]) -> Select[int]:
    """How many rows there are, up to one more than COUNT_LIMIT."""
    return select(func.count()).select_from(rows.limit(COUNT_LIMIT + 1).subquery())


def _blocked_counts() -> Select[str, int]:
    orders = recent_orders.c
    stores = _distinct(orders.store_name, orders.is_blocked)
    blocked = select(orders.amazon_order_id).where(orders.is_blocked, orders.store_name == stores.c.value)
    return select(stores.c.value, _count(blocked.correlate(stores)).scalar_subquery())


# Built once: putting them together takes longer than running them.
_STORES = select(_distinct(recent_orders.c.store_name).c.value)
_STATUSES = select(_distinct(recent_orders.c.status).c.value)
_BLOCKED_COUNTS = _blocked_counts()
_NEWEST_CHANGE = select(func.max(recent_orders.c.loaded_at))
_UNREADABLE_COUNT = _count(select(literal_column("1")).select_from(table("quarantined_orders", schema="reporting")))

_HELD_WRITES = table("held_writes", *map(column, HeldWrites.__dataclass_fields__), schema="reporting")
_HELD_WRITES_IN_ORDER = select(_HELD_WRITES).order_by(_HELD_WRITES.c.store_name, _HELD_WRITES.c.kind)


def read_overview(connection: Connection) -> Overview:
    """The facts around the table, whatever is filtered."""
    return Overview(
        stores=list(connection.scalars(_STORES)),
        statuses=list(connection.scalars(_STATUSES)),
        blocked_counts={store_name: count for store_name, count in connection.execute(_BLOCKED_COUNTS)},
        newest_change_at=connection.scalar(_NEWEST_CHANGE),
        unreadable_count=connection.scalars(_UNREADABLE_COUNT).one(),
        held_writes=[HeldWrites(**row) for row in connection.execute(_HELD_WRITES_IN_ORDER).mappings()],
    )
