"""Fills an orders database with a history as years of use leave it: for measurements and for tests of query plans."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL, Engine, text

from include.adapters.stores_file import load_stores
from include.database.engine import make_engine
from include.database.migrate import migrate
from include.database.statements import load_statements
from include.settings import Settings
from include.steps import publish_recent_orders, stage_stores
from local import postgres

CHUNK = 100_000
ADMIN_URL = "https://shop.example.com/admin"
# The statements of history.sql that write a chunk's rows, in this order.
_TABLES = (
    "ingest_windows",
    "ingest_pages",
    "amazon_orders",
    "order_contacts",
    "orders",
    "order_items",
    "order_status_changes",
    "order_outbox",
    "order_change_outbox",
    "shipment_sweep",
    "blocker_episodes",
    "quarantined_orders",
    "commerce_shipments",
    "shipments",
    "shipment_items",
    "shipment_tracks",
    "shipment_outbox",
    "recent_orders",
    "queue_open_orders",
)


def order_id(number: int) -> str:
    """The Amazon order id of the order with this number, from 1."""
    return f"250-{number // 10_000_000:07}-{number % 10_000_000:07}"


def fill_history(engine: Engine, *, finished: int, open_: int = 2_000, contact: bytes = b"\0" * 400) -> None:
    """Add `finished` orders of the last two years and `open_` ones of the last four days, then vacuum and analyze.

    The database is migrated and has no orders; `engine` connects as superuser. The orders are spread over the stores
    of stores.yaml, with their lines, history, outbox rows, blockers, shipments, packages and landed documents. They
    are as if published: nothing is queued afterwards. `contact` is the encrypted contact of every order.
    """
    statements = load_statements(__file__)
    now = datetime.now(UTC)
    stores = load_stores(Settings().stores_file)
    connections = {store.commerce_connection for store in stores.all()}
    urls = dict.fromkeys(connections, ADMIN_URL)
    stage_stores.run(engine, stores, urls, now=now - timedelta(days=800), dag_run_id="history")
    publish_recent_orders.run(engine, now=now, dag_run_id="history")  # of nothing: the rules are known from here on
    with engine.connect() as connection:
        connection.execute(statements["without_triggers"])
        connection.execute(statements["products"], {"now": now})
        connection.commit()
        total = finished + open_
        for first in range(1, total + 1, CHUNK):
            values = {
                "first": first,
                "last": min(first + CHUNK - 1, total),
                "finished": finished,
                "open": open_,
                "now": now,
                "contact": contact,
            }
            connection.execute(statements["orders_of_chunk"], values)
            connection.execute(text("analyze chunk"))
            for name in _TABLES:
                connection.execute(statements[name], values)
            connection.commit()
        connection.execute(statements["with_triggers"])
        connection.commit()
    publish_recent_orders.run(engine, now=now, dag_run_id="history")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))


@contextmanager
def empty_database(*, durable: bool = False) -> Iterator[Engine]:
    """A migrated orders database of its own for the block; the engine connects as superuser.

    `durable`: it writes as a production server does.
    """
    folder = Path(tempfile.mkdtemp(prefix="orders-bench-"))
    folder.chmod(0o755)  # as root the server runs as another user, who must get through
    data = folder / "postgres"
    address = postgres.start(data, durable=durable)
    try:
        host = {"host": str(address.socket_dir)}
        url = URL.create("postgresql+psycopg", username=postgres.SUPERUSER, database="orders", query=host)
        engine = make_engine(url, application_name="bench")
        migrate(engine)
        yield engine
    finally:
        postgres.remove(data)
        shutil.rmtree(folder, ignore_errors=True)
