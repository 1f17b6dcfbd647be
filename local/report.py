"""What the demo prints at its end, and its final check: does what the database reports match what the shop has?"""

from __future__ import annotations

import json
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from include.domain.marketplaces import currency_exponent

_PAGE = 100


@dataclass(frozen=True)
class ShopOrder:
    """One order in the shop: its Amazon order id and the number that the shop gave it."""

    amazon_order_id: str
    number: str


def connect(connection_id: str, variables: Mapping[str, str]) -> psycopg.Connection[TupleRow]:
    """Open the PostgreSQL connection `connection_id` of the environment `variables`, read only, with times in UTC.

    Reads both of Airflow's formats, JSON and URI. Raises psycopg.OperationalError.
    """
    value = variables[f"AIRFLOW_CONN_{connection_id.upper()}"]
    if value.lstrip().startswith("{"):
        fields = json.loads(value)
        names = {"host": "host", "port": "port", "user": "login", "password": "password", "dbname": "schema"}
        conninfo = make_conninfo(**{name: fields[key] for name, key in names.items() if fields.get(key)})
    else:
        conninfo = urlsplit(value)._replace(scheme="postgresql").geturl()
    options = "-c timezone=UTC -c default_transaction_read_only=on"
    return psycopg.connect(conninfo, options=options, connect_timeout=10)


def reported_orders(connection: psycopg.Connection[TupleRow]) -> dict[str, str | None]:
    """Amazon order id -> Commerce order number for all of reporting.recent_orders; empty before the first migration."""
    if connection.execute("select to_regclass('reporting.recent_orders')").fetchone() == (None,):
        return {}
    return dict(connection.execute("select amazon_order_id, commerce_order_number from reporting.recent_orders"))


def shop_orders(connection: str) -> list[ShopOrder]:
    """Every order in the sandbox's shop. `connection` is the Airflow connection `commerce_api` as JSON.

    Raises httpx.HTTPError.
    """
    fields = json.loads(connection)
    headers = {"Authorization": f"Bearer {fields['extra']['access_token']}"}
    found: list[ShopOrder] = []
    with httpx.Client(base_url=fields["host"], headers=headers, timeout=30, trust_env=False) as client:
        page, total = 1, 1
        # Count up to the total: past the end, the shop returns its last page again and again.
        while (page - 1) * _PAGE < total:
            parameters: dict[str, str | int] = {
                "searchCriteria[pageSize]": _PAGE,
                "searchCriteria[currentPage]": page,
                "searchCriteria[sortOrders][0][field]": "entity_id",
                "searchCriteria[sortOrders][0][direction]": "ASC",
            }
            answer = client.get("/rest/V1/orders", params=parameters)
            answer.raise_for_status()
            content = answer.json()
            total = content["total_count"]
            found += [ShopOrder(item.get("ext_order_id") or "", item["increment_id"]) for item in content["items"]]
            page += 1
    return found


def discrepancies(
    before: Mapping[str, str | None], after: Mapping[str, str | None], shop: Sequence[ShopOrder]
) -> list[str]:
    """What is wrong, one sentence each. `before` and `after` are what `reported_orders` returned then and now."""
    problems = []
    in_shop = Counter(order.amazon_order_id for order in shop)
    for amazon_order_id, count in sorted(in_shop.items()):
        if count > 1:
            problems.append(f"Amazon order {amazon_order_id} has {count} Commerce orders.")
    numbers = {order.amazon_order_id: order.number for order in shop}
    for amazon_order_id, number in sorted(numbers.items()):
        if amazon_order_id not in after:
            problems.append(f"Amazon order {amazon_order_id} has a Commerce order, but is missing from Recent Orders.")
        elif after[amazon_order_id] != number:
            problems.append(
                f"Amazon order {amazon_order_id}: Recent Orders shows {_named(after[amazon_order_id])}, the shop has "
                f"{number}."
            )
    problems += [
        f"Amazon order {amazon_order_id}: Recent Orders shows Commerce order {number}, the shop has none."
        for amazon_order_id, number in sorted(after.items())
        if number is not None and amazon_order_id not in numbers
    ]
    for amazon_order_id in sorted(before.keys() - after.keys()):
        problems.append(f"Amazon order {amazon_order_id} has disappeared from Recent Orders.")
    for amazon_order_id, earlier in sorted(before.items()):
        if earlier is not None and after.get(amazon_order_id, earlier) != earlier:
            now = _named(after[amazon_order_id])
            problems.append(f"Amazon order {amazon_order_id} had Commerce order {earlier} before; it now has {now}.")
    if not after:
        problems.append("Recent Orders is empty.")
    return problems


def _named(number: str | None) -> str:
    return "no Commerce order" if number is None else f"Commerce order {number}"


def summary(connection: psycopg.Connection[TupleRow], operations: psycopg.Connection[TupleRow]) -> str:
    """What there is to see, as text: recent and blocked orders, what was done besides, and the orders by status.

    `connection` reads the schema reporting, `operations` the others.
    """
    orders = connection.execute(
        "select to_char(purchased_at, 'YYYY-MM-DD HH24:MI'), amazon_order_id,"
        " store_name, status, grand_total_amount, currency_code, order_notes"
        " from reporting.recent_orders order by purchased_at desc, amazon_order_id desc"
    ).fetchall()
    blocked = connection.execute(
        "select store_name, amazon_order_id, blocker_code, coalesce(catalog_sku, seller_sku, ''), message, remedy"
        " from reporting.blocked_orders order by store_name, amazon_order_id, blocker_code"
    ).fetchall()
    rehearsed = operations.execute(
        "select amazon_order_id, replace(action, '_', ' '), amount, currency_code, reason from ops.dry_run_results"
        " where dag_run_id = (select dag_run_id from ops.dry_run_results order by found_at desc limit 1)"
        " order by action, amazon_order_id"
    ).fetchall()
    repairs = operations.execute(
        "select amazon_order_id, action, array_to_string(address_fields, ', '), comment, outcome"
        " from ops.order_repairs order by repaired_at, amazon_order_id"
    ).fetchall()
    changes = operations.execute(
        "select changes.amazon_order_id, orders.commerce_order_number, changes.state, changes.note"
        " from ops.order_change_outbox as changes inner join ops.order_outbox as orders using (amazon_order_id)"
        " where changes.kind = 'canceled_units' order by changes.planned_at, changes.amazon_order_id"
    ).fetchall()
    packages = operations.execute(
        "select amazon_order_id, package_reference_id, coalesce(carrier_name, carrier_code), tracking_number, state"
        " from ops.shipment_outbox order by planned_at, amazon_order_id, package_reference_id"
    ).fetchall()
    counts = Counter(row[3] for row in orders)
    return "\n".join(
        [
            _heading("Recent orders"),
            *table(
                ["Purchase date (UTC)", "Amazon order", "Store", "Status", "Grand total", "Order notes"],
                [(*row[:4], money(row[4], row[5]), row[6]) for row in orders],
                widths={5: 70},
            ),
            _heading("Blocked orders"),
            *table(["Store", "Amazon order", "Blocker", "SKU", "What is wrong", "What to do"], blocked, {4: 45, 5: 55}),
            _heading("Canceled on Amazon after the Commerce order was created"),
            *table(["Amazon order", "Commerce order", "State", "What was done"], changes, {3: 70}),
            _heading("Repaired with repair_amazon_order"),
            *table(["Amazon order", "Action", "Fields", "Comment", "Outcome"], repairs, {4: 55}),
            _heading("What the last dry run said would be done"),
            *table(
                ["Amazon order", "Action", "Grand total", "Reason"],
                [(*row[:2], money(row[2], row[3]), row[4]) for row in rehearsed],
                {3: 70},
            ),
            _heading("Packages sent to Amazon"),
            *table(["Amazon order", "Package", "Carrier", "Tracking number", "State"], packages),
            _heading("Orders by status"),
            *table(["Status", "Orders"], counts.most_common()),
        ]
    )


def money(amount: Decimal | None, currency: str | None) -> str:
    """An amount with its currency and at least that currency's decimals; a dash while Amazon gives no amount."""
    if amount is None:
        return "-"
    exponent = amount.normalize().as_tuple().exponent
    decimals = max(currency_exponent(currency or ""), -exponent if isinstance(exponent, int) else 0)
    return f"{amount:,.{decimals}f} {currency or ''}".rstrip()


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], widths: Mapping[int, int] | None = None) -> list[str]:
    """The lines of a text table. `widths` maps a column's number to the width at which its text is wrapped."""
    lines: list[Sequence[str]] = []
    for row in rows:
        cells = [
            textwrap.wrap(str(value), (widths or {}).get(n, 1000), break_on_hyphens=False)
            for n, value in enumerate(row)
        ]
        lines += zip_longest(*cells, fillvalue="")
    if not lines:
        return ["(none)"]
    sizes = [max(_columns(line[n]) for line in [headings, *lines]) for n in range(len(headings))]
    lines = [headings, ["-" * size for size in sizes], *lines]
    return [
        "  ".join(cell + " " * (size - _columns(cell)) for cell, size in zip(line, sizes, strict=True)).rstrip()
        for line in lines
    ]


def _columns(text: str) -> int:
    """How wide a terminal shows the text: East Asian characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _heading(text: str) -> str:
    return f"\n{text}\n{'=' * len(text)}"
