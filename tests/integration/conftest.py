"""Fixtures: the Recent Orders page on a local port, without Airflow around it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.fernet import Fernet
from fastapi import FastAPI
from sqlalchemy import URL, Engine

from include.database.engine import make_engine
from include.pages.shell.app import create_app
from include.pages.shell.page import PageSource
from include.settings import Settings
from tests.support.airflow_dags import resources
from tests.support.recent_orders_answers import KEY, SIGN_IN, MakeClient, Serve, let_in
from tests.support.road import Road


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Runs apps on local ports until the test is over; returns a client of each."""
    with ExitStack() as running:

        def start(app: FastAPI) -> httpx.Client:
            server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning", ws="none"))
            thread = threading.Thread(target=server.run)
            thread.start()
            running.callback(thread.join)
            running.callback(setattr, server, "should_exit", True)
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            return running.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20))

        yield start


@pytest.fixture
def make_client(database_url: URL, serve: Serve) -> MakeClient:
    """Makes a client of the page; the page reads the test's database as orders_ui, unless another engine is given."""

    def make(*, page_size: int = 60, keys: tuple[str, ...] = (KEY,), engine: Engine | None = None) -> httpx.Client:
        ui_engine = engine or make_engine(
            database_url.set(username="orders_ui"), application_name="orders_ui", statement_timeout=timedelta(seconds=1)
        )
        source = PageSource(ui_engine, page_size, list(keys))
        return serve(create_app(require_access=let_in, open_source=lambda: source, sign_in_url=SIGN_IN))

    return make


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets a connection as people do: JSON in AIRFLOW_CONN_<NAME>."""

    def connect(name: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "http"} | fields))

    return connect


@pytest.fixture
def wired(road: Road, connect: Callable[..., None]) -> Iterator[resources.Resources]:
    """The resources of one task, with the database of the test."""
    url = road.engine.url
    connect("orders_db", conn_type="postgres", host=url.query["host"], login=url.username, schema=url.database)
    with resources.Resources(Settings(pii_keys=Fernet.generate_key().decode())) as task:
        yield task
