"""What Recent Orders reads, as the role `orders_ui`: one page of orders by keyset, and the facts around the table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Connection, func, select, table, tuple_
from sqlalchemy.sql.elements import ColumnElement

from include.database.tables import order_contacts, recent_orders

_quarantined_orders = table("quarantined_orders", schema="reporting")


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


@dataclass(frozen=True)
class Overview:
    """What stands around the table: all stores, how many orders each store has on hold, the newest change (UTC).

    `unreadable_count` is the number of Amazon's order documents that were set aside because they cannot be read.
    """

    store_names: list[str]
    blocked_counts: dict[str, int]
    newest_change_at: datetime | None
    unreadable_count: int


def read_page(
    connection: Connection,
    filters: Filters,
    page_size: int,
    *,
    before: Cursor | None = None,
    after: Cursor | None = None,
) -> OrderPage:
    """The newest `page_size` orders; with `before` those that follow it in the table, with `after` those above it."""
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
    # One row more than is shown tells whether the page beyond has any. Contacts are joined to the page's rows only.
    shown = select(recent_orders).where(*conditions).order_by(*order).limit(page_size + 1).subquery()
    statement = (
        select(
            shown.c.store_name,
            shown.c.purchased_at,
            shown.c.amazon_order_id,
            shown.c.status,
            shown.c.grand_total_amount,
            shown.c.currency_code,
            shown.c.order_notes,
            shown.c.order_url,
            shown.c.commerce_order_number,
            order_contacts.c.contact_encrypted,
        )
        .outerjoin(order_contacts, shown.c.amazon_order_id == order_contacts.c.amazon_order_id)
        .order_by(shown.c.purchased_at.desc(), shown.c.amazon_order_id.desc())
    )
    found = [OrderRow(**row) for row in connection.execute(statement).mappings()]
    has_more = len(found) > page_size
    if after is not None:
        rows = found[-page_size:]
        return OrderPage(rows, rows[0].cursor if rows and has_more else None, rows[-1].cursor if rows else None)
    rows = found[:page_size]
    is_first = before is None
    return OrderPage(
        rows, rows[0].cursor if rows and not is_first else None, rows[-1].cursor if rows and has_more else None
    )


def read_overview(connection: Connection) -> Overview:
    """The facts around the table, whatever is filtered."""
    orders = recent_orders.c
    stores = connection.scalars(select(orders.store_name).distinct().order_by(orders.store_name))
    blocked = connection.execute(
        select(orders.store_name, func.count())
        .where(orders.is_blocked)
        .group_by(orders.store_name)
        .order_by(orders.store_name)
    )
    return Overview(
        store_names=list(stores),
        blocked_counts={store_name: count for store_name, count in blocked},
        newest_change_at=connection.scalar(select(func.max(orders.loaded_at))),
        unreadable_count=connection.scalars(select(func.count()).select_from(_quarantined_orders)).one(),
    )
