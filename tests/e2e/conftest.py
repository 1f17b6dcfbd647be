"""Fixtures: an installation of a merchant per test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local import postgres
from local.sandbox.commerce.state import CommerceState
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.installation import Installation, connections_to, copied_database
from tests.support.warm_airflow import WarmAirflow

Install = Callable[..., AbstractContextManager[Installation]]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def install(warm_airflow: WarmAirflow, server: postgres.ServerAddress, template: str, airflow_template: str) -> Install:
    """Sets up an installation in a folder: the scenario's sellers and shop, without orders; `shop` may be another."""

    @contextmanager
    def installed(folder: Path, shop: type[CommerceState] = CommerceState) -> Iterator[Installation]:
        number = next(_numbers)
        story = build(datetime.now(UTC)).without_orders()
        sandbox = Sandbox(story, enforce_rate_limits=False)
        sandbox.commerce = shop(story.commerce, sandbox.clock)
        with (
            copied_database(server, template, f"e2e_orders_{number}") as orders,
            copied_database(server, airflow_template, f"e2e_airflow_{number}") as metadata,
            sandbox,
        ):
            connections = connections_to(sandbox, story, orders)
            yield Installation(folder, orders, metadata, sandbox, warm_airflow, connections=connections)

    return installed


@pytest.fixture
def installation(install: Install, tmp_path: Path) -> Iterator[Installation]:
    """An installation of the test's own."""
    with install(tmp_path) as installed:
        yield installed
