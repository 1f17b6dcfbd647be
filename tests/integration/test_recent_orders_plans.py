"""What PostgreSQL does for the Recent Orders page: the same bounded work, however many orders there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from include.database.engine import make_engine
from include.pages.recent_orders.queries import Cursor, Filters, read_overview, read_page
from include.pages.shell.formatting import COUNT_LIMIT
from local import postgres
from tests.support.recent_orders_answers import KEY
from tests.support.recent_orders_rows import MANY_STATUSES, MANY_STORES, order_row, write_many_orders, write_orders

ORDERS = 200_000
PAGE_SIZE = 60


@pytest.fixture(scope="module")
def connection(server: postgres.ServerAddress, template: str) -> Iterator[Connection]:
    """A session of orders_ui on a database with many orders."""
    name = "recent_orders_plans"
    address = URL.create(
        "postgresql+psycopg", username=postgres.SUPERUSER, database=name, query={"host": str(server.socket_dir)}
    )
    admin = create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as session:
        session.execute(text(f"create database {name} template {template}"))
    engine = make_engine(address, application_name="tests")
    write_many_orders(engine, KEY, ORDERS)
    blocked = {"store_name": "Acme NL", "status": "Error", "is_blocked": True}
    write_orders(engine, *(order_row(f"900-{number:05}", **blocked) for number in range(5_000)))
    with engine.begin() as session:
        session.execute(text("analyze reporting.recent_orders, pii.order_contacts"))
    with make_engine(address.set(username="orders_ui"), application_name="tests").connect() as session:
        yield session
    with admin.connect() as session:
        session.execute(text(f"drop database {name} with (force)"))


def plans_of(connection: Connection, statements: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The plans of statements as they ran, with every node flattened into one list per statement."""

    def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for child in node.get("Plans", []):
            yield from nodes_of(child)

    found = []
    for statement, parameters in statements:
        answer = connection.exec_driver_sql(f"explain (analyze, format json) {statement}", parameters).scalar_one()
        plan = answer if isinstance(answer, list) else json.loads(answer)
        found.append({"statement": statement, "nodes": list(nodes_of(plan[0]["Plan"]))})
    return found


@pytest.fixture
def recorded(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """The statements that run on the session from now on, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def record(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements.append((statement, parameters))

    engine: Engine = connection.engine
    event.listen(engine, "before_cursor_execute", record)
    yield statements
    event.remove(engine, "before_cursor_execute", record)


def rows_read(node: dict[str, Any]) -> int:
    """How many rows or index entries of a table a node went through."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def check(plans: list[dict[str, Any]], most_rows: int) -> None:
    for plan in plans:
        scans = [node for node in plan["nodes"] if node.get("Relation Name") in ("recent_orders", "order_contacts")]
        kinds = {node["Node Type"] for node in scans}
        assert kinds <= {"Index Scan", "Index Only Scan", "Memoize"}, (kinds, plan["statement"])
        assert max((rows_read(node) for node in scans), default=0) <= most_rows, plan["statement"]


@pytest.mark.parametrize(("store", "status"), list(product(
    ["", MANY_STORES[0], MANY_STORES[-1], "Acme NL", "Nobody's"], ["", *MANY_STATUSES, "NOBODY'S"]
)))  # fmt: skip
def test_page_reads_its_own_rows_only_when_filtered(
    connection: Connection, recorded: list[tuple[str, Any]], store: str, status: str
) -> None:
    conditions = {"store_name": store, "status": status}
    clause = " and ".join(f"{column} = :{column}" for column, value in conditions.items() if value) or "true"
    matching = connection.execute(
        text(
            f"select purchased_at, amazon_order_id from reporting.recent_orders where {clause}"
            " order by purchased_at desc, amazon_order_id desc"
        ),
        conditions,
    ).all()
    places: list[tuple[int, dict[str, Cursor]]] = [(0, {})]
    if len(matching) > 3 * PAGE_SIZE:
        deep = len(matching) // 2
        places += [
            (deep + 1, {"before": Cursor(*matching[deep])}),
            (len(matching) - 5, {"before": Cursor(*matching[-6])}),
            (deep - PAGE_SIZE, {"after": Cursor(*matching[deep])}),
            (0, {"after": Cursor(*matching[3])}),
        ]
    for begin, place in places:
        recorded.clear()
        page = read_page(connection, Filters(store, status), PAGE_SIZE, **place)
        statements = list(recorded)

        assert [row.amazon_order_id for row in page.rows] == [key[1] for key in matching[begin : begin + PAGE_SIZE]]
        assert len(statements) == (2 if "after" in place and page.is_first else 1)
        check(plans_of(connection, statements), PAGE_SIZE + 1)


def test_facts_around_the_table_read_a_bounded_number_of_rows_when_there_are_many_orders(
    connection: Connection, recorded: list[tuple[str, Any]]
) -> None:
    overview = read_overview(connection)

    assert overview.stores == sorted([*MANY_STORES, "Acme NL"])
    assert overview.statuses == sorted(MANY_STATUSES)
    assert overview.blocked_counts["Acme NL"] == COUNT_LIMIT + 1
    # Beside these, the writes that are stopped: tests/integration/test_run_plans.py has their plans.
    statements = [one for one in recorded if "held_writes" not in one[0]]
    assert (len(statements), len(recorded)) == (5, 6)
    plans = plans_of(connection, statements)
    check(plans, (COUNT_LIMIT + 1) * len(overview.blocked_counts))
    distinct = [plan for plan in plans if "found" in plan["statement"] and "count" not in plan["statement"]]
    assert len(distinct) == 2
    check(distinct, 2 * len(MANY_STORES) + 2)
