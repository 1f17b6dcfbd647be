"""The data path with two shops behind two Commerce connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Engine

from include.adapters.commerce.client import CommerceClient
from local.sandbox.seeds import Scenario
from local.sandbox.servers import Sandbox
from tests.support.road import SHOP, Road


@dataclass
class TwoShops(Road):
    """The American stores sell from a second shop behind a connection of its own."""

    second: Sandbox | None = None
    second_client: CommerceClient | None = None

    def commerce(self, connection: str) -> CommerceClient:
        if connection == SHOP:
            return self.shop
        assert self.second is not None and connection == "commerce_second"
        if self.second_client is None:
            self.second_client = self.connect_shop(self.second.commerce_url)
        return self.second_client

    def new_task(self) -> None:
        super().new_task()
        if self.second_client is not None:
            self.second_client.close()
            self.second_client = None

    def __exit__(self, *_: object) -> None:
        self.new_task()
        self.shop.close()


@contextmanager
def open_two_shops(engine: Engine, scenario: Scenario) -> Iterator[TwoShops]:
    """The data path over the scenario's sellers and shop, and a second shop like it, without any order."""
    empty = scenario.without_orders()
    with (
        Sandbox(empty, enforce_rate_limits=False) as first,
        Sandbox(empty, enforce_rate_limits=False) as second,
        TwoShops(engine, first, empty, second=second) as road,
    ):
        yield cast(TwoShops, road)
