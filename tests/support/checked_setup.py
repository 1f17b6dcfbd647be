"""The road as an installation that check_setup checks: what a test changes in it is what is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import URL, Engine

from include.adapters.amazon.client import AmazonClient
from include.adapters.commerce.client import CommerceClient
from include.adapters.personal_data import PersonalDataCipher
from include.database.engine import make_engine
from include.domain.errors import MisconfiguredError
from include.domain.stores import Stores
from include.settings import Settings
from include.steps import check_setup
from include.steps.check_setup import Finding
from tests.support.road import Road


class Installation:
    """A setup in the sense of check_setup."""

    def __init__(self, road: Road, url: URL) -> None:
        self.road = road
        self.urls = {"orders_db": url.set(username="orders_rw"), "orders_db_ui": url.set(username="orders_ui")}
        self.engines: list[Engine] = []
        self.open_stores: Callable[[], Stores] = lambda: road.stores
        self.clients: list[AmazonClient] = []

    @property
    def settings(self) -> Settings:
        return replace(self.road.settings, pii_keys=Fernet.generate_key().decode())

    @property
    def stores(self) -> Stores:
        return self.open_stores()

    @property
    def cipher(self) -> PersonalDataCipher:
        return self.road.cipher

    def database(self, name: str, /) -> Engine:
        if name not in self.urls:
            raise MisconfiguredError(f"There is no Airflow connection {name!r}. Resolution: create it.")
        return make_engine(self.urls[name], application_name="tests")

    def amazon(self, account_name: str, /) -> AmazonClient:
        self.clients.append(self.road.amazon(account_name))
        return self.clients[-1]

    def commerce(self, connection_name: str, /) -> CommerceClient:
        self.road.new_task()
        return self.road.commerce(connection_name)

    def check(self, **options: Any) -> list[Finding]:
        return list(check_setup.check(self, clock=self.road.now, **options))

    def problems(self) -> list[Finding]:
        return [finding for finding in self.check() if finding.state == "PROBLEM"]


def the_problem(installation: Installation) -> str:
    """The line of the one problem that there is."""
    (problem,) = installation.problems()
    assert "Resolution: " in problem.words
    assert "\n" not in problem.words
    return str(problem)


def change_stores(road: Road, store_name: str, **fields: Any) -> None:
    """Edit one store in stores.yaml."""
    road.stores = Stores(
        tuple(
            replace(
                account,
                stores=tuple(
                    replace(store, **fields) if store.name == store_name else store for store in account.stores
                ),
            )
            for account in road.stores.accounts
        )
    )


@pytest.fixture
def installation(road: Road, database_url: URL) -> Iterator[Installation]:
    made = Installation(road, database_url)
    yield made
    for client in made.clients:
        client.close()
