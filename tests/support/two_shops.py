"""The data path with two shops behind two Commerce connections."""

from __future__ import annotations

from dataclasses import dataclass

from include.adapters.commerce.client import CommerceClient
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
