"""Fixtures: the Recent Orders page on a local port, without Airflow around it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import URL, Engine

from include.database.engine import make_engine
from include.pages.shell.app import create_app
from include.pages.shell.page import PageSource
from tests.support.recent_orders_answers import KEY, SIGN_IN, MakeClient, Serve, let_in


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
