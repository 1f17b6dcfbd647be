"""A small world in which orders, products, shops, marketplaces and accounts go bad and good again at random.

Amazon changes orders meanwhile: whole orders and single units are canceled, buyers move.

A schedule is drawn from a number, so that what failed can be repeated. What is sound must not be delayed by the rest.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from include.domain.stores import Store, Stores
from local.sandbox.commerce.state import CommerceState
from local.sandbox.faults import Fault
from local.sandbox.scenario.orders import canceled_line
from local.sandbox.seeds import AmazonOrderSeed, Product, Scenario
from local.sandbox.servers import Sandbox
from tests.support.commerce_units import units, units_left
from tests.support.orders import amazon_order, order_id
from tests.support.road import SHOP, Road
from tests.support.two_shops import TwoShops, open_two_shops

ROUNDS = 5
FOREVER = 1_000_000
SECOND = "commerce_second"

# store -> what an order in it needs; Canada sells from the second shop, the United Kingdom is another account.
STORES: dict[str, dict[str, str]] = {
    "Acme US": {"marketplace_id": "ATVPDKIKX0DER", "currency": "USD"},
    "Acme Canada": {"marketplace_id": "A2EUQ1WTGCTBG2", "currency": "CAD"},
    "Acme UK": {"marketplace_id": "A1F83G8C2ARO7P", "currency": "GBP"},
}
SELLERS = {"Acme UK": "A2EXAMPLESELLER"}
SHOPS = {"Acme US": SHOP, "Acme Canada": SECOND, "Acme UK": SHOP}
MARKETPLACES = ("Acme US", "Acme Canada")  # two of one account: Amazon can refuse one of them
SKUS = ("RANDOM-A", "RANDOM-B", "RANDOM-C")
PRODUCT_TROUBLES: dict[str, dict[str, Any]] = {
    "missing_product": {},
    "disabled_product": {"status": 2},
    "not_in_website": {"website_ids": ()},
    "out_of_stock": {"quantities": {1: Decimal(0), 2: Decimal(0)}},
}
SHOP_TROUBLES = ("html_503", "html_500", "dropped", "expired_token", "throttle")
NUMBERED = ("invoiceOrder", "cancelOrder", "refundOrder", "saveAddress")  # these calls name the Commerce order alone
ORDER_TROUBLES = ("searchOrders", "createOrder", "confirmShipment", *NUMBERED)
CHANGES = ("canceled", "unit_canceled", "moved")
NEW_STREET = "77 Harbour Road"


def product(sku: str) -> Product:
    return Product(
        900 + SKUS.index(sku), sku, sku, Decimal(10), (1, 2, 3), quantities=dict.fromkeys((1, 2), Decimal(9999999))
    )


@dataclass
class Order:
    """What we know of an order that was bought: all that may delay it, and for how many runs nothing has."""

    amazon_order_id: str
    store_name: str
    sku: str
    qty: int = 1
    status: str = "UNSHIPPED"
    change: str | None = None  # what Amazon changed after the purchase
    sound_runs_since_change: int = 0
    is_shipped_too_soon: bool = False  # the warehouse was faster than the change
    is_malformed: bool = False
    trouble: str | None = None
    was_troubled: bool = False  # it was sent, or may have been, while something failed
    was_unsound: bool = False
    sound_runs: int = 0
    blocker: str | None = None  # what alone was wrong in the last run: its product
    is_blocker_known: bool = False
    is_shipped: bool = False  # by the warehouse, in Commerce
    sound_shipment_runs: int = 0


@dataclass
class World:
    """Two shops, three stores of two accounts, and what is wrong with them at the moment."""

    road: TwoShops
    dice: random.Random
    orders: list[Order] = field(default_factory=list)
    bad_products: dict[str, str] = field(default_factory=dict)
    bad_shops: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    # store -> minutes until Amazon is asked again for a marketplace that it refused before: an hour at the most
    waiting: dict[str, int] = field(default_factory=dict)
    is_account_down: bool = False

    def is_settled(self) -> bool:
        """Whether every order had two sound runs, and nothing waits for anything."""
        is_sound = all(order.status != "UNSHIPPED" or order.sound_runs >= 2 for order in self.orders)
        are_changes_known = all(order.change is None or order.sound_runs_since_change >= 2 for order in self.orders)
        return is_sound and are_changes_known and not unfinished(self.road)

    # What goes bad and good again

    def change_something(self) -> None:
        getattr(
            self, self.dice.choice(("_turn_product", "_turn_shop", "_turn_marketplace", "_turn_account", "_turn_order"))
        )()

    def _turn_product(self) -> None:
        sku = self.dice.choice(SKUS)
        if self.bad_products.pop(sku, None) is None:
            self.bad_products[sku] = self.dice.choice(list(PRODUCT_TROUBLES))

    def _turn_shop(self) -> None:
        shop = self.dice.choice((SHOP, SECOND))
        if self.bad_shops.pop(shop, None) is None:
            self.bad_shops[shop] = self.dice.choice(SHOP_TROUBLES)

    def _turn_marketplace(self) -> None:
        self.refused ^= {self.dice.choice(MARKETPLACES)}

    def _turn_account(self) -> None:
        self.is_account_down = not self.is_account_down

    def _turn_order(self) -> None:
        if self.orders:
            order = self.dice.choice(self.orders)
            order.trouble = None if order.trouble else self.dice.choice(ORDER_TROUBLES)

    def heal(self) -> None:
        self.bad_products.clear()
        self.bad_shops.clear()
        self.refused.clear()
        self.is_account_down = False
        for order in self.orders:
            order.trouble = None
            if order.is_malformed:
                items = self.road.sandbox.amazon.order(order.amazon_order_id)["orderItems"]
                items[0]["quantityOrdered"] = 1
                self.road.sandbox.amazon.apply(order.amazon_order_id, {"orderItems": items})
                order.is_malformed = False

    def buy(self, number: int) -> None:
        store_name, sku = self.dice.choice(list(STORES)), self.dice.choice(SKUS)
        kind = self.dice.choice(("UNSHIPPED",) * 6 + ("PENDING", "CANCELLED", "malformed"))
        status, qty = "UNSHIPPED" if kind == "malformed" else kind, self.dice.choice((1, 1, 2))
        trouble = self.dice.choice((*[None] * 8, *ORDER_TROUBLES))
        is_malformed = kind == "malformed"
        order = Order(order_id(number), store_name, sku, qty, status, is_malformed=is_malformed, trouble=trouble)
        document = amazon_order(
            order.amazon_order_id,
            {sku: qty},
            status=status,
            at=self.road.sandbox.clock.now(),
            has_money=status != "PENDING",
            **STORES[store_name],
        )
        if order.is_malformed:
            document["orderItems"][0]["quantityOrdered"] = "many"
        seller = SELLERS.get(store_name, "A1EXAMPLESELLER")
        self.road.sandbox.amazon.add_order(AmazonOrderSeed(seller, document))
        self.orders.append(order)

    def change_order(self) -> None:
        """Amazon cancels an order or a unit of it, or gives another address, while nothing of it is shipped."""
        open_orders = [o for o in self.orders if o.status == "UNSHIPPED" and not (o.is_malformed or o.is_shipped)]
        unchanged = [order for order in open_orders if order.change is None]
        if not unchanged:
            return
        order = self.dice.choice(unchanged)
        change = self.dice.choice(CHANGES if order.qty > 1 else ("canceled", "moved"))
        document = self.road.sandbox.amazon.order(order.amazon_order_id)
        match change:
            case "canceled":
                patch: dict[str, Any] = {"fulfillment": {"fulfillmentStatus": "CANCELLED"}}
                order.status = "CANCELLED"
            case "unit_canceled":
                patch = {"orderItems": [canceled_line(document["orderItems"][0]["orderItemId"], order.qty - 1)]}
            case _:
                address = document["recipient"]["deliveryAddress"] | {"addressLine1": NEW_STREET}
                patch = {"recipient": {"deliveryAddress": address}}
        self.road.sandbox.amazon.apply(order.amazon_order_id, patch)
        order.change = change

    # A run, and what it must have done

    def run(self, *, minutes: int) -> None:
        """One run in the world as it is now; a shop that is bad may die only in the middle of it."""
        assert self.road.second is not None
        self._prepare_amazon(self.road.sandbox)
        for name, sandbox in ((SHOP, self.road.sandbox), (SECOND, self.road.second)):
            self._prepare_shop(name, sandbox)
        self.waiting = {name: left - minutes for name, left in self.waiting.items() if left > minutes}
        self.waiting |= dict.fromkeys(self.refused, 60)
        if minutes > 10:
            self.road.pass_time(minutes=minutes - 10)

        self.road.run_as_airflow()

        for order in self.orders:
            self._count(order)

    def _prepare_amazon(self, sandbox: Sandbox) -> None:
        sandbox.amazon.refused_marketplaces.clear()
        sandbox.amazon.refused_marketplaces.update(STORES[name]["marketplace_id"] for name in self.refused)
        sandbox.amazon_faults.clear()
        if self.is_account_down:
            about = STORES["Acme UK"]["marketplace_id"]
            sandbox.amazon_faults.add(Fault("searchOrders", "html_503", times=FOREVER, about=about))
        for order in self.orders:
            if order.trouble == "confirmShipment":
                about = order.amazon_order_id
                sandbox.amazon_faults.add(Fault("confirmShipment", "html_500", times=FOREVER, about=about))

    def _prepare_shop(self, name: str, sandbox: Sandbox) -> None:
        for sku in SKUS:
            sandbox.commerce.add_product(product(sku))
            trouble = self.bad_products.get(sku)
            if trouble == "missing_product":
                sandbox.commerce.remove_product(sku)
            elif trouble:
                sandbox.commerce.set_product(sku, **PRODUCT_TROUBLES[trouble])
        sandbox.commerce_faults.clear()
        for order in self.orders:
            about = self._named(order, sandbox.commerce)
            if order.trouble not in (None, "confirmShipment") and about:
                sandbox.commerce_faults.add(Fault(order.trouble, "html_500", times=FOREVER, about=about))
        if shop_trouble := self.bad_shops.get(name):
            skip = self.dice.choice((0, 0, 3, 6, 9))
            sandbox.commerce_faults.add(Fault("*", shop_trouble, times=FOREVER, skip=skip))  # type: ignore[arg-type]

    def ship_and_confirm(self) -> None:
        """The warehouse ships what it has, most of the time; then a run of the shipments' DAG."""
        for order in self.orders:
            shop = self._shop(order)
            left = [units_left(found) for found in shop.order_by_ext_id(order.amazon_order_id)]
            is_in_stock = order.sku not in self.bad_products
            if any(left) and is_in_stock and not order.is_shipped and self.dice.random() < 0.7:
                order.is_shipped_too_soon = order.change is not None and not self._is_change_done(order)
                shop.ship(order.amazon_order_id, None, [("ups", "UPS", f"1Z{order.amazon_order_id}")])
                order.is_shipped = True
        self.road.shipments_run_as_airflow()
        for order in self.orders:
            is_sound = order.is_shipped and not order.trouble and SHOPS[order.store_name] not in self.bad_shops
            order.sound_shipment_runs = order.sound_shipment_runs + 1 if is_sound else 0

    def _shop(self, order: Order) -> CommerceState:
        assert self.road.second is not None
        return (self.road.sandbox if SHOPS[order.store_name] == SHOP else self.road.second).commerce

    def _named(self, order: Order, shop: CommerceState) -> str | None:
        """How a request in which the order has its trouble names it; None while there is none."""
        if order.trouble not in NUMBERED:
            return order.amazon_order_id
        end = "?" if order.trouble == "saveAddress" else "/"
        return next((f"/{found['entity_id']}{end}" for found in shop.order_by_ext_id(order.amazon_order_id)), None)

    def _is_change_done(self, order: Order) -> bool:
        """Whether the Commerce order, if there is one, is as Amazon has it now."""
        for found in self._shop(order).order_by_ext_id(order.amazon_order_id):
            if order.change == "moved":
                shipping = found["extension_attributes"]["shipping_assignments"][0]["shipping"]["address"]
                if shipping["street"] != [NEW_STREET]:
                    return False
            elif units_left(found) + units(found, "qty_shipped") != (
                0 if order.change == "canceled" else order.qty - 1
            ):
                return False
        return True

    def _count(self, order: Order) -> None:
        shop = SHOPS[order.store_name]
        is_account_down = order.store_name == "Acme UK" and self.is_account_down
        is_reached = order.store_name not in self.waiting and not is_account_down and shop not in self.bad_shops
        if order.trouble or shop in self.bad_shops:
            order.was_troubled = True
        is_itself_sound = is_reached and not order.trouble and not order.is_malformed
        product_trouble = self.bad_products.get(order.sku)
        # Read in an earlier run, and nothing else is wrong: its product blocks it now.
        is_known = order.sound_runs > 0 or order.blocker is not None
        order.blocker = product_trouble if is_itself_sound else None
        order.is_blocker_known = is_known and order.blocker is not None
        order.sound_runs = order.sound_runs + 1 if is_itself_sound and product_trouble is None else 0
        order.was_unsound = order.was_unsound or not order.sound_runs
        order.sound_runs_since_change = order.sound_runs_since_change + 1 if order.change and is_itself_sound else 0

    def check(self, seed: object) -> None:
        """Each sound order is in its shop once and shown right; each blocked one names its blocker."""
        first, second = self.road.sandbox, self.road.second
        assert second is not None
        in_shop = {
            SHOP: [order["ext_order_id"] for order in first.commerce.orders()],
            SECOND: [order["ext_order_id"] for order in second.commerce.orders()],
        }
        for name, ids in in_shop.items():
            assert len(ids) == len(set(ids)), f"schedule {seed}: {name} has an order twice"
        shown = {row.amazon_order_id: row for row in self.road.rows("select * from reporting.recent_orders")}
        confirmed = Counter(body["orderId"] for body in first.amazon.confirmations)
        for order in self.orders:
            here = f"schedule {seed}: {order}"
            row = shown.get(order.amazon_order_id)
            is_created = order.amazon_order_id in in_shop[SHOPS[order.store_name]]
            is_change_due = order.sound_runs_since_change >= (9 if order.was_troubled else 2)
            if is_change_due and not order.is_shipped_too_soon:
                assert self._is_change_done(order), (here, row)
            if order.status != "UNSHIPPED":
                assert order.change or not is_created, here
                if order.sound_runs >= 2:
                    assert (
                        row is not None and row.status == {"PENDING": "Pending", "CANCELLED": "Canceled"}[order.status]
                    ), here
                continue
            if order.is_shipped_too_soon:
                continue
            if order.sound_shipment_runs >= (9 if order.was_troubled else 2):
                assert confirmed[order.amazon_order_id] == 1, here
            # What was always sound is created at once. One that was sent while something failed is looked up twice, at
            # growing distance, before it is sent again.
            if order.sound_runs >= (9 if order.was_troubled else 2 if order.was_unsound else 1):
                assert is_created, (here, row)
                assert row is not None, here
                expected = ("Shipped", "Completed", "Unshipped") if order.is_shipped else ("Unshipped",)
                assert row.status in expected, (here, row)
                assert (row.is_blocked, row.blocker_codes) == (False, []), (here, row)
                assert row.commerce_order_number, here
            elif order.is_malformed:
                assert row is None and not is_created, here
            elif order.is_blocker_known and not is_created and not order.was_troubled:
                assert row is not None, here
                assert (row.status, row.blocker_codes) == ("Error", [order.blocker]), (here, row)
            elif is_created and order.trouble is None and SHOPS[order.store_name] not in self.bad_shops:
                assert row is not None and row.blocker_codes in ([], ["needs_attention"]), (here, row)


@contextmanager
def open_roads(engine: Engine, scenario: Scenario) -> Iterator[TwoShops]:
    """The data path of three stores that sell from two shops, without any order."""
    with open_two_shops(engine, scenario) as road:
        since = road.stores.all()[0].orders.import_since

        def prepared(store: Store) -> Store:
            orders = replace(store.orders, is_import_enabled=True, import_since=since)
            return replace(store, orders=orders, commerce_connection=SHOPS[store.name])

        accounts = []
        for name in ("acme-na", "acme-eu"):
            account = road.stores.account(name)
            stores = tuple(prepared(store) for store in account.stores if store.name in STORES)
            accounts.append(replace(account, stores=stores))
        road.stores = Stores(tuple(accounts))
        road.change_settings(failed_attempts=1000)
        yield road


def play(road: TwoShops, seed: int, first_number: int) -> int:
    """Play the schedule of this number; raises AssertionError when something sound was delayed or shown wrong.

    `first_number`: of the first order. Returns the number of the next. Schedules may follow each other on one road:
    what one leaves behind is the next one's past.
    """
    world = World(road, random.Random(seed))
    number = first_number
    for _ in range(ROUNDS):
        for _ in range(world.dice.randint(1, 5)):
            world.buy(number)
            number += 1
        for _ in range(world.dice.randint(0, 2)):
            world.change_something()
        if world.dice.random() < 0.7:
            world.change_order()
        world.run(minutes=world.dice.choice((10, 10, 65)))
        world.check(seed)
        world.ship_and_confirm()
        world.check(seed)
    world.heal()
    for _ in range(9):
        world.run(minutes=130)
        world.ship_and_confirm()
        world.check(seed)
        if world.is_settled():
            return number
    raise AssertionError(f"schedule {seed} leaves something unfinished: {unfinished(road)}")


def unfinished(road: Road) -> list[Any]:
    """The rows of the outboxes that still wait for something."""
    return road.rows(
        "select amazon_order_id, state from ops.order_outbox where finished_at is null and state <> 'canceled'"
        " union all select amazon_order_id, state from ops.order_change_outbox where done_at is null"
        " union all select amazon_order_id, state from ops.shipment_outbox"
        " where state in ('planned', 'sent', 'in_doubt')"
    )
