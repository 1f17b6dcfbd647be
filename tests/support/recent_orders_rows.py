"""Puts rows into reporting.recent_orders and pii.order_contacts as the pipeline would."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, insert

from include.adapters.personal_data import PersonalDataCipher
from include.database.tables import order_contacts, recent_orders

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def order_row(amazon_order_id: str, **values: Any) -> dict[str, Any]:
    """A row of reporting.recent_orders: an unshipped order of Acme US over 25.00 USD, unless `values` say otherwise."""
    return {
        "store_name": "Acme US",
        "purchased_at": NOON,
        "amazon_order_id": amazon_order_id,
        "status": "Unshipped",
        "grand_total_amount": Decimal("25.00"),
        "currency_code": "USD",
        "order_notes": "Commerce order 000000123 was created.",
        "order_url": f"https://shop.example.com/admin/sales/order/view/order_id/{amazon_order_id[-4:]}",
        "commerce_order_number": None,
        "fulfilled_by": "MERCHANT",
        "ship_by_at": None,
        "is_blocked": False,
        "blocker_codes": [],
        "last_updated_at": NOON,
        "loaded_at": NOON,
        "dag_run_id": "test",
    } | values


def write_orders(engine: Engine, *rows: dict[str, Any]) -> None:
    """Insert rows made by `order_row`."""
    with engine.begin() as connection:
        connection.execute(insert(recent_orders), list(rows))


def write_contact(engine: Engine, key: str, amazon_order_id: str, document: dict[str, Any]) -> None:
    """Insert an order's contact, encrypted with the Fernet key `key`."""
    with engine.begin() as connection:
        connection.execute(
            insert(order_contacts).values(
                amazon_order_id=amazon_order_id,
                contact_encrypted=PersonalDataCipher([key]).encrypt(document),
                last_updated_at=NOON,
                loaded_at=NOON,
            )
        )
