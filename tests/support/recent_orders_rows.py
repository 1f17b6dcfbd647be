"""Puts rows into reporting.recent_orders and pii.order_contacts as the pipeline would."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, insert, text

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


# Stores and statuses by their share of the orders, biggest first; a word that is new to us is rare.
MANY_STORES = ("Acme US", "Acme UK", "Acme DE", "Acme CA", "Acme FR", "Acme IT", "Acme ES", "Acme JP", "Acme SE")
MANY_STATUSES = ("Completed", "Shipped", "Canceled", "Unshipped", "Error", "Pending", "Partially Shipped", "NEW_WORD")

_MANY_ORDERS = """
insert into reporting.recent_orders (
    store_name, purchased_at, amazon_order_id, status, grand_total_amount, currency_code, order_notes, order_url,
    commerce_order_number, fulfilled_by, ship_by_at, is_blocked, blocker_codes, last_updated_at, loaded_at, dag_run_id
)
select
    store_name,
    purchased_at,
    amazon_order_id,
    status,
    case when status <> 'Pending' then (number % 90000)::numeric / 100 + 5 end,
    'USD',
    case status
        when 'Error' then 'Product LAMP-BLUE-2 is not in the Commerce catalog. Create it, or map the SKU.'
        else 'Commerce order ' || number || ' was created.'
    end,
    'https://shop.example.com/admin/sales/order/view/order_id/' || number,
    case when status not in ('Error', 'Pending') then 'AMZ-' || amazon_order_id end,
    case when number % 3 = 0 then 'AMAZON' else 'MERCHANT' end,
    purchased_at + interval '2 days',
    status = 'Error',
    case when status = 'Error' then array['missing_product'] else '{}' end,
    purchased_at + interval '1 day',
    purchased_at + interval '1 day',
    'many'
from (
    select
        number,
        '114-' || lpad((number / 10000000)::text, 7, '0') || '-' || lpad((number % 10000000)::text, 7, '0')
            as amazon_order_id,
        -- Four orders share each moment; the newest are open, the rest is history.
        (cast(:until as timestamptz) - (number / 4) * interval '20 seconds') as purchased_at,
        (cast(:stores as text[]))[least(floor(-ln(1 - dice_of_store) * 1.6), cardinality(:stores) - 1) + 1]
            as store_name,
        case
            when number = :count / 2 then (cast(:statuses as text[]))[8]
            when number < 2000 then (cast(:statuses as text[]))[4 + floor(dice_of_status * 4)::integer]
            when dice_of_status < 0.002 then (cast(:statuses as text[]))[5]
            else (cast(:statuses as text[]))[1 + floor(power(dice_of_status, 3) * 3)::integer]
        end as status
    from (
        -- The hash of a number is a die that falls the same way every time.
        select
            number,
            (hashint8(number)::bigint + 2147483648) / 4294967296.0::float8 as dice_of_store,
            (hashint8extended(number, 7) & 1048575) / 1048576.0::float8 as dice_of_status
        from generate_series(0, :count - 1) as number
    ) as dice
) as drawn
"""


def write_many_orders(engine: Engine, key: str, count: int, *, until: datetime = NOON) -> None:
    """Insert `count` orders, two thirds of them with a contact (Amazon withholds it, or it was purged), and analyze.

    `engine` is a superuser's: indexes are dropped and built again around the insert.
    """
    token = PersonalDataCipher([key]).encrypt({"buyer": {"buyerName": "Zoë Ångström", "buyerEmail": "zoe@example.com"}})
    with engine.begin() as connection:
        for index in recent_orders.indexes:
            index.drop(connection)
        connection.execute(
            text(_MANY_ORDERS),
            {"count": count, "until": until, "stores": list(MANY_STORES), "statuses": list(MANY_STATUSES)},
        )
        connection.execute(
            text(
                "insert into pii.order_contacts (amazon_order_id, contact_encrypted, last_updated_at, loaded_at)"
                " select amazon_order_id, :token, last_updated_at, loaded_at from reporting.recent_orders"
                " where fulfilled_by = 'MERCHANT'"
            ),
            {"token": token},
        )
        for index in recent_orders.indexes:
            index.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum (analyze) reporting.recent_orders, pii.order_contacts"))
