"""The connections of the orders database: addresses of every documented shape, limits, and the end of a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text

from include.settings import Settings
from tests.support.airflow_dags import connections, resources
from tests.support.road import Road


@contextmanager
def opened(name: str, **options: Any) -> Iterator[Engine]:
    engine = connections.open_database(name, **options)
    yield engine
    engine.dispose()


def test_database_is_reached_when_the_host_is_the_folder_of_a_socket(
    road: Road, wired: resources.Resources, connect: Callable[..., None]
) -> None:
    with wired.engine.connect() as connection:
        row = connection.execute(text("select current_user, current_database(), current_setting('TimeZone')")).one()
    assert tuple(row) == ("orders_rw", road.engine.url.database, "UTC")

    folder, database = road.engine.url.query["host"], road.engine.url.database
    connect("orders_db", conn_type="postgres", host=folder, port=5432, login="orders_ui", schema=database)
    with opened("orders_db", application_name="test_resources") as engine, engine.connect() as connection:
        row = connection.execute(text("select current_user, current_setting('application_name')")).one()
    assert tuple(row) == ("orders_ui", "test_resources")

    connect("orders_db", conn_type="postgres", host=folder, port=5433, login="orders_ui", schema=database)
    assert connections.database_url("orders_db").query["port"] == "5433", "it is a part of the socket's name"


def test_database_address_has_every_part_when_the_host_is_a_server(connect: Callable[..., None]) -> None:
    extra = {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem", "__extra__": "of Airflow"}
    connect(
        "orders_db",
        conn_type="postgres",
        host="db.example.com",
        port=6432,
        login="orders rw",
        password="planted-secret@:/%",
        schema="orders",
        extra=extra,
    )
    url = connections.database_url("orders_db")
    _, given = url.get_dialect()().create_connect_args(url)
    wanted = {"host": "db.example.com", "port": 6432, "dbname": "orders"}
    wanted |= {"user": "orders rw", "password": "planted-secret@:/%"}
    wanted |= {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"}
    assert {key: value for key, value in given.items() if key != "context"} == wanted
    assert "planted-secret" not in str(url)


def test_database_address_has_no_more_parts_when_the_connection_says_little(connect: Callable[..., None]) -> None:
    connect("orders_db", conn_type="postgres", host="db.example.com", schema="orders")
    assert str(connections.database_url("orders_db")) == "postgresql+psycopg://db.example.com/orders"


def test_session_has_its_time_limits_when_it_serves_a_page(road: Road, connect: Callable[..., None]) -> None:
    url = road.engine.url
    connect("orders_db_ui", conn_type="postgres", host=url.query["host"], login="orders_ui", schema=url.database)
    settings = Settings()
    options: Any = {"statement_timeout": settings.statement_timeout, "lock_timeout": settings.lock_timeout}
    with opened("orders_db_ui", application_name="pages", **options) as engine, engine.connect() as connection:
        assert connection.execute(text("show statement_timeout")).scalar_one() == "10s"
        assert connection.execute(text("show lock_timeout")).scalar_one() == "1min"


def test_database_session_is_ended_when_the_task_is_over(road: Road, wired: resources.Resources) -> None:
    sessions = "select count(*) from pg_stat_activity where application_name = 'orders_dags'"
    with wired:
        for _ in range(3):
            with wired.engine.connect() as connection:
                connection.execute(text("select 1"))
        assert road.value(sessions) == 1
    deadline = time.monotonic() + 10
    while road.value(sessions) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert road.value(sessions) == 0
