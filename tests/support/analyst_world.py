"""Random worlds for the analysts' views: orders written to `core` and `ops` as the steps leave them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from include.database import tables
from include.database.tables.facts import FACTS

# Store -> its marketplace, the marketplace's time zone and currency. The last one is no store: its orders have none.
ZONES = {
    "Acme US": ("ATVPDKIKX0DER", "America/Los_Angeles", "USD"),
    "Acme DE": ("A1PA6795UKMFR9", "Europe/Berlin", "EUR"),
    "Acme JP": ("A1VC38T7YXB528", "Asia/Tokyo", "JPY"),
    "Acme AU": ("A39IBJ37TRP1C6", "Australia/Sydney", "AUD"),
    "acme": (None, "UTC", None),
}
# Around these the clocks change in one of the zones; and an ordinary day, around which every zone has a midnight.
MOMENTS = [
    datetime(2026, 3, 8, 10, tzinfo=UTC),
    datetime(2026, 11, 1, 9, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 4, 4, 16, tzinfo=UTC),
    datetime(2026, 10, 3, 16, tzinfo=UTC),
    datetime(2026, 6, 15, tzinfo=UTC),
]
STATUSES = ["PENDING", "UNSHIPPED", "UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED", "CANCELLED", "UNFULFILLABLE"]


@dataclass(frozen=True)
class Line:
    sku: str
    ordered_qty: int
    canceled_qty: int
    fulfilled_qty: int
    item_amount: Decimal | None
    discount_amount: Decimal | None
    shipping_amount: Decimal | None
    tax_amount: Decimal | None
    canceled_by: str | None


@dataclass(frozen=True)
class Episode:
    code: str
    severity: str
    opened_at: datetime
    closed_at: datetime | None
    of_line: int | None
    amount: Decimal | None


@dataclass(frozen=True)
class Sale:
    amazon_order_id: str
    store_name: str
    amazon_status: str
    fulfilled_by: str
    purchased_at: datetime
    landed_at: datetime
    created_at: datetime | None
    shipped_at: datetime | None
    ship_by_at: datetime | None
    grand_total_amount: Decimal | None
    pipeline_state: str
    lines: tuple[Line, ...]
    episodes: tuple[Episode, ...] = ()

    @property
    def is_canceled(self) -> bool:
        return self.amazon_status in ("CANCELLED", "UNFULFILLABLE")


@dataclass(frozen=True)
class World:
    now: datetime
    sales: list[Sale] = field(default_factory=list)


@st.composite
def _lines(draw: st.DrawFn, status: str) -> tuple[Line, ...]:
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        ordered = draw(st.integers(1, 5))
        canceled = ordered if status in ("CANCELLED", "UNFULFILLABLE") else draw(st.sampled_from([0, 0, 0, 1, ordered]))
        left = ordered - canceled
        has_money = status != "PENDING" and draw(st.booleans())
        goods = draw(st.decimals(0, 500, places=2)) if has_money else None
        others = [draw(st.none() | st.decimals(0, 50, places=2)) if has_money else None for _ in range(3)]
        by = draw(st.sampled_from([None, "BUYER", "MERCHANT", "AMAZON"])) if canceled else None
        fulfilled = left if status == "SHIPPED" else left // 2 if status == "PARTIALLY_SHIPPED" else 0
        discount, shipping, tax = others
        sku = draw(st.sampled_from("ABC"))
        lines.append(Line(sku, ordered, canceled, fulfilled, goods, discount, shipping, tax, by))
    return tuple(lines)


@st.composite
def _episodes(draw: st.DrawFn, now: datetime, purchased_at: datetime, line_count: int) -> tuple[Episode, ...]:
    found: dict[tuple[str, int | None], Episode] = {}
    for _ in range(draw(st.integers(0, 3))):
        opened = purchased_at + timedelta(minutes=draw(st.integers(1, 5000)))
        closed = opened + timedelta(minutes=draw(st.integers(0, 9000))) if draw(st.booleans()) else None
        code = draw(st.sampled_from(["missing_product", "out_of_stock", "rejected_by_commerce"]))
        of_line = draw(st.none() | st.integers(0, line_count - 1))
        severity = draw(st.sampled_from(["critical", "critical", "warning"]))
        amount = draw(st.none() | st.decimals(0, 500, places=2))
        found[code, of_line] = Episode(code, severity, opened, closed, of_line, amount)
    return tuple(found.values())


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world of up to eight orders. Open ones are due around now; what is over happened around a change of clocks."""
    now = datetime.now(UTC).replace(microsecond=0)
    sales = []
    for number in range(draw(st.integers(1, 8))):
        status = draw(st.sampled_from(STATUSES))
        at = draw(st.sampled_from(MOMENTS)) + timedelta(minutes=draw(st.integers(-1500, 1500)))
        store_name = draw(st.sampled_from(list(ZONES)))
        landed = at + timedelta(minutes=draw(st.integers(1, 600)))
        is_created = store_name != "acme" and status in ("UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED")
        is_created = is_created and draw(st.booleans())
        created = (
            landed + timedelta(seconds=draw(st.integers(1, 90_000))) if is_created and draw(st.booleans()) else None
        )
        # Hours that no test can take to run from one class of risk to the next.
        due = now + timedelta(hours=draw(st.sampled_from([-30, -2, 2, 20, 30, 300])))
        lines = draw(_lines(status))
        total = draw(st.none() | st.decimals(1, 900, places=2)) if status != "PENDING" else None
        shipped = at + timedelta(hours=draw(st.integers(1, 90))) if status == "SHIPPED" else None
        ship_by = draw(st.sampled_from([due, None])) if shipped is None else at + timedelta(hours=48)
        state = "created" if created else draw(st.sampled_from(["ready", "blocked", "in_doubt", "not_imported"]))
        sales.append(
            Sale(
                f"114-{number:07d}-0000001",
                store_name,
                status,
                draw(st.sampled_from(["MERCHANT", "MERCHANT", "AMAZON"])),
                at,
                landed,
                created,
                shipped,
                ship_by,
                total,
                "canceled" if status in ("CANCELLED", "UNFULFILLABLE") else state,
                lines,
                draw(_episodes(now, at, len(lines))),
            )
        )
    return World(now, sales)


def write(engine: Engine, world: World) -> None:
    """Make the database hold this world and nothing else; `engine` is the superuser's."""
    stamp: dict[str, Any] = {"dag_run_id": "world", "loaded_at": world.now}
    with engine.begin() as connection:
        facts = ", ".join(table.fullname for table in FACTS)
        connection.execute(text(f"truncate core.stores, core.orders, reporting.recent_orders, {facts} cascade"))
        connection.execute(text("delete from ops.orders_to_publish"))
        connection.execute(
            tables.stores.insert(),
            [
                {
                    "store_name": name, "account_name": "acme", "seller_id": "A1", "region": "na",
                    "marketplace_id": marketplace_id, "commerce_connection": "commerce_api",
                    "commerce_store_view": "default", "currency_code": currency, "seller_central_host": "example.com",
                    "is_connected": True, "connected_at": world.now, "import_since": world.now,
                    "settings_sha256": "s", "amazon_fulfilled_since": world.now,
                }
                for name, (marketplace_id, _, currency) in ZONES.items() if marketplace_id
            ],
        )  # fmt: skip
        for sale in world.sales:
            _write_sale(connection, sale, stamp)


def _write_sale(connection: Connection, sale: Sale, stamp: dict[str, Any]) -> None:
    marketplace_id, _, currency = ZONES[sale.store_name]
    key: dict[str, Any] = {"amazon_order_id": sale.amazon_order_id}
    priced = currency or "USD"
    connection.execute(
        tables.orders.insert(),
        key | stamp | {
            "account_name": "acme", "marketplace_id": marketplace_id, "amazon_status": sale.amazon_status,
            "store_name": sale.store_name if marketplace_id else None, "fulfilled_by": sale.fulfilled_by,
            "purchased_at": sale.purchased_at, "amazon_last_updated_at": sale.purchased_at,
            "ship_by_at": sale.ship_by_at, "grand_total_amount": sale.grand_total_amount,
            "currency_code": None if sale.grand_total_amount is None else priced, "pipeline_state": sale.pipeline_state,
            "item_count": len(sale.lines), "ordered_qty": sum(line.ordered_qty for line in sale.lines),
            "fulfilled_qty": sum(line.fulfilled_qty for line in sale.lines), "payload_sha256": "p",
            "status_dag_run_id": "world", "first_seen_at": sale.landed_at,
        },
    )  # fmt: skip
    connection.execute(
        tables.order_items.insert(),
        [
            key | {
                "amazon_item_id": str(number), "line_number": number + 1, "seller_sku": line.sku,
                "ordered_qty": line.ordered_qty, "canceled_qty": line.canceled_qty,
                "fulfilled_qty": line.fulfilled_qty, "canceled_by": line.canceled_by,
                "currency_code": None if line.item_amount is None else priced, "item_amount": line.item_amount,
                "discount_amount": line.discount_amount, "shipping_amount": line.shipping_amount,
                "tax_amount": line.tax_amount,
            }
            for number, line in enumerate(sale.lines)
        ],
    )  # fmt: skip
    if sale.created_at:
        connection.execute(
            tables.order_outbox.insert(),
            key | {
                "account_name": "acme", "store_name": sale.store_name, "commerce_connection": "commerce_api",
                "commerce_store_view": "default", "state": "created", "planned_at": sale.landed_at,
                "commerce_order_id": sale.amazon_order_id, "commerce_order_number": sale.amazon_order_id,
                "linked_at": sale.created_at, "finished_at": sale.created_at, "dag_run_id": "world",
                "updated_at": sale.created_at,
            },
        )  # fmt: skip
    changes = [("PENDING", sale.purchased_at), (sale.amazon_status, sale.shipped_at or sale.landed_at)]
    connection.execute(
        tables.order_status_changes.insert(),
        [
            key | {"system_code": "amazon", "changed_at": at, "to_code": code, "detected_at": at, "dag_run_id": "world"}
            for code, at in changes
        ],
    )
    for episode in sale.episodes:
        line = None if episode.of_line is None else sale.lines[episode.of_line]
        connection.execute(
            tables.blocker_episodes.insert(),
            key | {
                "amazon_item_id": "" if line is None else str(episode.of_line), "blocker_code": episode.code,
                "severity": episode.severity, "seller_sku": line.sku if line else None, "message": "m", "remedy": "r",
                "requested_qty": line.ordered_qty - line.canceled_qty if line else None,
                "affected_amount": episode.amount, "currency_code": priced, "opened_at": episode.opened_at,
                "last_seen_at": episode.opened_at, "closed_at": episode.closed_at,
                "closed_by_code": "solved" if episode.closed_at else None, "dag_run_id": "world",
            },
        )  # fmt: skip
