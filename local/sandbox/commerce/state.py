"""The state of the local Commerce: catalog, orders, shipments, e-mails; and what its staff do as time passes."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import simplejson

from local.sandbox.clock import SandboxClock
from local.sandbox.commerce import creditmemos
from local.sandbox.commerce import orders as rules
from local.sandbox.commerce.errors import CommerceRefusal, no_such_entity
from local.sandbox.commerce.shipments import Track, append_comment, append_track, new_shipment
from local.sandbox.commerce.stock import Catalog
from local.sandbox.seeds import CatalogChange, CommerceSeed, Product, StoreView, WarehouseAction

Document = dict[str, Any]
_DECIMAL = "decimal"


class CommerceState:
    """The local Commerce's state, thread-safe. `seed` is its initial state. Documents are as the REST API returns them.

    The methods above `snapshot` serve the REST routes and raise CommerceRefusal; those below it are for tests.
    """

    def __init__(self, seed: CommerceSeed, clock: SandboxClock) -> None:
        self.seed = seed
        self.clock = clock
        self.lock = threading.RLock()
        self.catalog = Catalog(seed.products)
        self.rights = None if seed.rights is None else set(seed.rights)  # of the integration; None: every right
        self.mails: list[Document] = []
        self.creditmemos: list[Document] = []
        self._orders: dict[int, Document] = {}
        self._shipments: dict[int, Document] = {}
        self._customers: list[Document] = []
        self._last_ids: Counter[str] = Counter()
        self._played: set[int] = set()  # positions in seed.catalog_changes
        self._shipped: set[int] = set()  # positions in seed.warehouse

    def play(self) -> bool:
        """Carry out what the seed has planned until now. True if something changed."""
        with self.lock:
            now = self.clock.now()
            before = len(self._played), len(self._shipped)
            for position, change in sorted(enumerate(self.seed.catalog_changes), key=lambda pair: pair[1].at):
                if change.at <= now and position not in self._played:
                    self._change_catalog(change)
                    self._played.add(position)
            for position, action in sorted(enumerate(self.seed.warehouse), key=lambda pair: pair[1].at):
                if action.at <= now and position not in self._shipped and self._pack(action):
                    self._shipped.add(position)
            return before != (len(self._played), len(self._shipped))

    def create_order(self, entity: Any, view: StoreView | None) -> Document:
        """Store a new order and return it. Its store is `view`, unless `entity` names another one.

        For an order created this way, Commerce checks and reserves no stock and sends no e-mail.
        """
        with self.lock:
            order = rules.new_order(entity, self._next_id, self._now())
            store = self._store(order.get("store_id", view.store_id if view else None))
            order["store_id"] = store.store_id
            if "increment_id" not in order:
                order["increment_id"] = self._next_number(store.store_id)
            self._guard_number(order)
            website = next(w for w in self.seed.websites if w.website_id == store.website_id)
            order.setdefault("store_name", f"{website.code}\n{website.code}\n{store.name}")
            for item in order["items"]:
                item.setdefault("store_id", store.store_id)
            self._orders[order["entity_id"]] = order
            return order

    def update_order(self, entity: Document) -> Document:
        """Change only the fields in `entity`. Exception: if it has no order number, the order gets a new one."""
        with self.lock:
            order = self.order(entity["entity_id"])
            changed = rules.update_order(order, entity, self._next_id, self._now())
            if "increment_id" not in entity:
                # Older versions assign a new number if the caller sends none (magento2 issues 8020, 17828).
                changed["increment_id"] = self._next_number(order["store_id"])
            self._store(changed["store_id"])
            self._guard_number(changed)
            self._orders[changed["entity_id"]] = changed
            return changed

    def save_address(self, order_id: str, entity: Document) -> Document:
        """Change an address of the order, named by its `entity_id`."""
        with self.lock:
            return rules.save_address(self.order(order_id), entity, self._next_id)

    def order(self, order_id: Any) -> Document:
        """The stored order. Raises CommerceRefusal (404)."""
        order = self._orders.get(int(order_id)) if str(order_id).isdigit() else None
        if order is None:
            raise no_such_entity()
        return order

    def all_orders(self) -> list[Document]:
        """The stored orders, oldest first."""
        return list(self._orders.values())

    def invoice_order(self, order_id: int, quantities: Mapping[int, Decimal] | None, *, notify: bool) -> int:
        """Invoice order lines (item id -> quantity; None: everything left) and return the invoice's id."""
        with self.lock:
            order = self.order(order_id)
            rules.invoice(order, rules.quantities_to_invoice(order, quantities), self._now())
            if notify:
                self._mail("invoice", order_id)
            return self._next_id("invoice")

    def ship_order(
        self,
        order_id: int,
        quantities: Mapping[int, Decimal] | None,
        tracks: Sequence[Track],
        *,
        notify: bool = False,
        comment: str | None = None,
        source_code: str = "default",
    ) -> int:
        """Ship order lines (item id -> quantity; None: everything left) and return the shipment's id."""
        with self.lock:
            order = self.order(order_id)
            taken = rules.quantities_to_ship(order, quantities)
            if not all(number for _, _, number in tracks):
                raise CommerceRefusal(400, "Shipment Document Validation Error(s):\nPlease enter a tracking number.")
            needed: dict[str, Decimal] = {}
            for item in order["items"]:
                needed[item["sku"]] = needed.get(item["sku"], Decimal(0)) + taken.get(item["item_id"], Decimal(0))
            if not self.catalog.deduct(needed, self._stock_id(order)):
                raise CommerceRefusal(400, "Could not save a shipment, see error log for details")
            number = self._next_number(order["store_id"], "shipment")
            shipment = new_shipment(order, taken, source_code, number, self._next_id, self._now())
            for track in tracks:
                append_track(shipment, track, self._next_id, self._now())
            if comment is not None:
                append_comment(shipment, comment, self._next_id, self._now(), notify=notify)
            self._shipments[shipment["entity_id"]] = shipment
            rules.mark_shipped(order, taken, self._now())
            if notify:
                self._mail("shipment", order_id)
            return int(shipment["entity_id"])

    def shipments(self) -> list[Document]:
        """The stored shipments, oldest first."""
        return list(self._shipments.values())

    def shipment(self, shipment_id: Any) -> Document:
        """The stored shipment. Raises CommerceRefusal (404)."""
        shipment = self._shipments.get(int(shipment_id)) if str(shipment_id).isdigit() else None
        if shipment is None:
            raise no_such_entity()
        return shipment

    def put_track(self, shipment_id: int, order_id: int, track: Track) -> Document:
        """Add a track to a shipment. As in Commerce, no updated_at changes, neither the shipment's nor the order's."""
        with self.lock:
            shipment = self.shipment(shipment_id)
            if shipment["order_id"] != order_id or not track[2]:
                raise CommerceRefusal(400, "Could not save the shipment tracking.")
            return append_track(shipment, track, self._next_id, self._now())

    def comment_order(self, order_id: int, entry: Any) -> None:
        """Add a comment. If it has a status, the order gets that status."""
        with self.lock:
            order = self.order(order_id)
            comment = rules.history(entry, order["entity_id"], self._next_id, self._now())
            order["status_histories"].append(comment)
            if "status" in comment and comment["status"] != order.get("status"):
                order["status"] = comment["status"]
                order["updated_at"] = self._now()
            if comment["is_customer_notified"]:
                self._mail("comment", order_id)

    def cancel_order(self, order_id: int) -> bool:
        """Cancel what is not invoiced; False if nothing is. Like Commerce, releases stock that was never reserved."""
        with self.lock:
            order = self.order(order_id)
            released = rules.cancel(order, self._now())
            if released is None:
                return False
            for sku, quantity in released.items():
                self.catalog.release(sku, self._stock_id(order), quantity)
            return True

    def hold_order(self, order_id: int, *, is_released: bool = False) -> bool:
        """Put the order on hold, or release it from that."""
        with self.lock:
            (rules.unhold if is_released else rules.hold)(self.order(order_id), self._now())
            return True

    def refund_order(
        self,
        order_id: int,
        quantities: Mapping[int, Decimal] | None = None,
        *,
        shipping: Decimal | None = None,
        returned: Collection[int] | None = None,
        comment: str | None = None,
        notify: bool = False,
    ) -> int:
        """Make an offline credit memo of order lines (item id -> quantity; None: all) and return its id.

        `shipping` None refunds all that is left of the shipping charge. The lines in `returned` go back to stock; None
        stands for all of them, as the admin's form proposes.
        """
        with self.lock:
            order = self.order(order_id)
            taken = creditmemos.quantities_to_refund(order, quantities)
            back = {
                item["sku"]: min(taken.get(item["item_id"], Decimal(0)), rules.open_quantity(item, "qty_shipped"))
                for item in order["items"]
                if returned is None or item["item_id"] in returned
            }
            total = creditmemos.refund(order, taken, shipping, self._now())
            for sku, quantity in back.items():
                self.catalog.release(sku, self._stock_id(order), quantity)
            if comment is not None:
                entry = {"comment": comment, "status": order["status"], "entity_name": "creditmemo"}
                order["status_histories"].append(rules.history(entry, order["entity_id"], self._next_id, self._now()))
            if notify:
                self._mail("creditmemo", order_id)
            memo_id = self._next_id("creditmemo")
            items = [{"order_item_id": item_id, "qty": quantity} for item_id, quantity in taken.items()]
            self.creditmemos.append(
                {"entity_id": memo_id, "order_id": order["entity_id"], "grand_total": total, "items": items}
            )
            return memo_id

    def customers(self) -> list[Document]:
        """The stored customers."""
        return list(self._customers)

    def snapshot(self) -> Document:
        """Everything that can change, as plain JSON. A Decimal becomes an object {"decimal": "1.50"}."""
        with self.lock:
            content = {
                "catalog": self.catalog.snapshot(),
                "orders": list(self._orders.values()),
                "shipments": list(self._shipments.values()),
                "customers": self._customers,
                "mails": self.mails,
                "creditmemos": self.creditmemos,
                "last_ids": self._last_ids,
                "played": sorted(self._played),
                "shipped": sorted(self._shipped),
            }
            text = simplejson.dumps(content, use_decimal=False, default=lambda value: {_DECIMAL: str(value)})
        plain: Document = simplejson.loads(text)
        return plain

    def restore(self, content: Document) -> None:
        """Restore the state from a `snapshot` of the same seed."""
        text = simplejson.dumps(content)
        typed = simplejson.loads(text, object_hook=lambda o: Decimal(o[_DECIMAL]) if set(o) == {_DECIMAL} else o)
        with self.lock:
            self.catalog.restore(typed["catalog"])
            self._orders = {order["entity_id"]: order for order in typed["orders"]}
            self._shipments = {shipment["entity_id"]: shipment for shipment in typed["shipments"]}
            self._customers = typed["customers"]
            self.mails = typed["mails"]
            self.creditmemos = typed.get("creditmemos", [])
            self._last_ids = Counter(typed["last_ids"])
            self._played = set(typed["played"])
            self._shipped = set(typed["shipped"])

    def orders(self) -> list[Document]:
        """Copies of all orders, oldest first."""
        with self.lock:
            self.play()
            return copy.deepcopy(self.all_orders())

    def order_by_ext_id(self, ext_order_id: str) -> list[Document]:
        """Copies of the orders with this ext_order_id; several if the order was created more than once."""
        with self.lock:
            self.play()
            found = [order for order in self.all_orders() if order.get("ext_order_id") == ext_order_id]
            return copy.deepcopy(found)

    def add_order(self, entity: Document) -> Document:
        """Create an order as POST /V1/orders would, by default in the first store view. Returns a copy."""
        return copy.deepcopy(self.create_order(entity, self.seed.store_views[0]))

    def delete_order(self, order_id: int) -> None:
        """Delete an order, as modules for that do."""
        with self.lock:
            del self._orders[order_id]

    def add_customer(self, **fields: Any) -> None:
        """Add a customer with these fields (email, firstname, lastname, website_id …)."""
        with self.lock:
            self._customers.append({"id": self._next_id("customer"), "group_id": 1, "addresses": []} | fields)

    def ship(self, ext_order_id: str, quantities: Mapping[str, Decimal] | None, tracks: Sequence[Track]) -> int:
        """Ship an order as the warehouse does: Amazon item id -> quantity, or None for everything that is left.

        Raises CommerceRefusal if the order is unknown or cannot be shipped.
        """
        with self.lock:
            order = next((o for o in self._orders.values() if o.get("ext_order_id") == ext_order_id), None)
            if order is None:
                raise no_such_entity()
            lines = {item.get("ext_order_item_id"): item["item_id"] for item in order["items"]}
            if quantities is None:
                return self.ship_order(order["entity_id"], None, tracks)
            if unknown := set(quantities) - set(lines):
                raise CommerceRefusal(400, f"The order has no items {', '.join(sorted(unknown))}.")
            wanted = {lines[amazon_item_id]: quantity for amazon_item_id, quantity in quantities.items()}
            return self.ship_order(order["entity_id"], wanted, tracks)

    def add_track(self, shipment_id: int, track: Track) -> Document:
        """Add a track to an existing shipment, and return it."""
        return copy.deepcopy(self.put_track(shipment_id, self.shipment(shipment_id)["order_id"], track))

    def add_product(self, product: Product) -> None:
        """Add a product, or replace the one with its SKU."""
        with self.lock:
            self.catalog.put(product)

    def remove_product(self, sku: str) -> None:
        """Delete a product. Raises KeyError for an unknown SKU."""
        with self.lock:
            self.catalog.remove(sku)

    def set_product(self, sku: str, **changes: Any) -> None:
        """Set fields of a product. Raises KeyError for an unknown SKU, TypeError for an unknown field."""
        with self.lock:
            self.catalog.change(sku, **changes)

    def set_quantity(self, sku: str, stock_id: int, quantity: Decimal) -> None:
        """Set the quantity on hand in one stock. Raises KeyError for an unknown SKU."""
        with self.lock:
            product = self.catalog.find(sku)
            if product is None:
                raise KeyError(sku)
            product.quantities[stock_id] = quantity

    def salable_quantity(self, sku: str, stock_id: int) -> Decimal:
        """Quantity on hand plus reservations."""
        with self.lock:
            self.play()
            return self.catalog.salable(sku, stock_id)

    def _now(self) -> str:
        return self.clock.now().strftime("%Y-%m-%d %H:%M:%S")

    def _next_id(self, kind: str) -> int:
        self._last_ids[kind] += 1
        return self._last_ids[kind]

    def _next_number(self, store_id: int, kind: str = "number") -> str:
        """The next number of the store: nine digits, preceded by the store's id except for the first store."""
        number = f"{self._next_id(f'{kind} of store {store_id}'):09d}"
        return number if store_id == 1 else f"{store_id}{number}"

    def _store(self, store_id: int | None) -> StoreView:
        store = next((view for view in self.seed.store_views if view.store_id == store_id), None)
        if store is None:
            raise CommerceRefusal(400, "The store that was requested wasn't found. Verify the store and try again.")
        return store

    def _guard_number(self, order: Document) -> None:
        """Enforce the only unique key besides the id; ext_order_id is not unique."""
        for other in self._orders.values():
            same = other["increment_id"] == order["increment_id"] and other["store_id"] == order["store_id"]
            if same and other["entity_id"] != order["entity_id"]:
                raise CommerceRefusal(400, "Unique constraint violation found")

    def _stock_id(self, order: Document) -> int:
        website_id = self._store(order["store_id"]).website_id
        return next(website.stock_id for website in self.seed.websites if website.website_id == website_id)

    def _mail(self, kind: str, order_id: int) -> None:
        self.mails.append({"kind": kind, "order_id": int(order_id), "at": self._now()})

    def _change_catalog(self, change: CatalogChange) -> None:
        if change.create is not None:
            self.catalog.put(change.create)
        product = self.catalog.find(change.sku)
        if product is None:
            raise KeyError(f"The seed changes an unknown product: {change.sku}")
        if change.status is not None:
            product.status = change.status
        product.quantities.update(change.quantities or {})

    def _pack(self, action: WarehouseAction) -> bool:
        """Ship as the seed says. False, to be tried again later, if the order does not exist or cannot be shipped."""
        try:
            self.ship(action.amazon_order_id, action.quantities, action.tracks)
        except CommerceRefusal:
            return False
        return True
