"""Creates one Commerce order, exactly once, and finishes it: part of `create_commerce_orders`."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row

from include.adapters.commerce.address import AddressPlaceholders, address_problem, is_withheld
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.customers import customer_of
from include.adapters.commerce.documents import CatalogProduct, CommerceOrder
from include.adapters.commerce.mapping import encode_order, order_entity
from include.adapters.commerce.search import sku_key
from include.database.exchange_rates import find_rates
from include.domain.blockers import BLOCKER_CODES
from include.domain.contacts import Contact
from include.domain.errors import (
    MalformedOrderError,
    MisconfiguredError,
    OutcomeUnknownError,
    RefusedError,
    UnavailableError,
)
from include.domain.line_matching import match_lines
from include.domain.money import ExchangeRate
from include.domain.order_changes import LineUnits
from include.domain.orders import AMAZON, MERCHANT, Order
from include.domain.statuses import CANCELED_STATUSES
from include.domain.stores import Store
from include.outbox.bad_addresses import note_addresses
from include.outbox.blocker_episodes import Blocker
from include.outbox.known_catalog import KnownCatalog
from include.outbox.look_ahead import LookAhead
from include.outbox.order_lines import keep_packs
from include.outbox.order_outbox import TOTAL_DIFFERS, LinkedOrder, OrderOutbox
from include.outbox.work_loop import Outcome
from include.settings import Settings

log = logging.getLogger(__name__)

# An outcome: nothing is left but to look at the order's status, which is done for many orders at once.
INVOICED = "invoiced"


@dataclass(frozen=True)
class OrderCreation:
    """One order, its lock, and all that its creation needs. `store` is None when it left stores.yaml."""

    outbox: OrderOutbox
    session: Connection  # in autocommit; holds the order's lock
    client: CommerceClient
    catalog: KnownCatalog
    ahead: LookAhead
    store: Store | None
    order: Order
    contact: Contact
    contact_loaded_at: datetime | None  # which version of the contact this is
    settings: Settings

    @property
    def order_id(self) -> str:
        return self.order.amazon_order_id

    def read(self) -> Row[Any]:
        return self.outbox.read(self.session, self.order_id)

    def advance(self, row: Row[Any], shown: CommerceOrder | None = None) -> Outcome:
        """Take the order as far as it goes now. `shown`: its linked Commerce order, if the shop has just shown it."""
        if row.state == "sent":
            # The worker that sent it is gone, or we would not hold the order's lock.
            self.outbox.doubt(self.order_id, "interrupted", "The task ended before Commerce's answer was seen.")
            return Outcome("in_doubt")
        if row.finished_at is not None:  # by another worker, since it was found to be due
            return Outcome("passed_over")
        if row.commerce_order_id is not None:
            return self.finish(row, shown)
        if row.state not in ("planned", "in_doubt"):  # taken back, since it was found to be due
            return Outcome("passed_over")
        if row.state == "planned" and self.order.amazon_status in CANCELED_STATUSES:
            reason = "Amazon canceled the order before a Commerce order existed."
            self.outbox.withdraw(self.order_id, "canceled", reason, closed_by="canceled")
            return Outcome("withdrawn")
        try:
            found = self.look_ahead(row)
            if found is None:
                found = self.look_up()
        except RefusedError as error:
            if row.state == "planned":
                self.outbox.reject(row, error)
                return Outcome("refused")
            self.outbox.put_back(row, str(error))
            return Outcome("in_doubt")
        if found:  # one that we have sent counts its packs as it was sent
            return (self if row.attempts else self.packed()).link("adopted", *found)
        if row.state == "in_doubt":
            return self.not_found(row)
        if self.store is None:
            return Outcome("passed_over")
        return self.packed().create(row, self.store)

    def packed(self) -> OrderCreation:
        """The same with the packs that the SKU map has now, committed."""
        return replace(self, order=keep_packs(self.session, self.order, self.store))

    def look_ahead(self, row: Row[Any]) -> list[CommerceOrder] | None:
        """What `look_up` says, asked for many orders at once; None for an order that was or may have been sent."""
        if row.state != "planned" or row.attempts:
            return None
        found = self.ahead.look_up(row.commerce_connection, self.client, self.order_id)
        return None if found is None else self.in_turn(found)

    def look_up(self) -> list[CommerceOrder]:
        """The Commerce orders that exist for this Amazon order already, the one to link first. Looks, never writes."""
        return self.in_turn(self.client.find_orders(ext_order_id=self.order_id))

    def in_turn(self, orders: list[CommerceOrder]) -> list[CommerceOrder]:
        """The orders that were found, the one to link first."""
        found = sorted(orders, key=lambda order: order.is_withdrawn)
        if len(found) > 1:
            log.error(
                "create_commerce_orders: order=%s has %d Commerce orders (%s). Resolution: cancel all but %s in "
                "Commerce.",
                self.order_id,
                len(found),
                ", ".join(order.number for order in found),
                found[0].number,
            )
        return found

    def not_found(self, row: Row[Any]) -> Outcome:
        """Commerce does not have an order in doubt."""
        if self.store is None and row.not_found_count + 1 >= 2:
            reason = "Commerce does not have the order, looked up twice, and its store is not in stores.yaml any more."
            self.outbox.withdraw(self.order_id, "not_imported", reason, closed_by="settings_changed")
            return Outcome("withdrawn")
        self.outbox.not_found(row)
        return Outcome("in_doubt")

    def create(self, row: Row[Any], store: Store) -> Outcome:
        """Post the order once, and finish it if it exists for sure afterwards."""
        try:
            document = self.document(store)
        except MalformedOrderError as error:
            self.outbox.need_attention(self.order_id, f"The order cannot be created: {'; '.join(error.findings)}.")
            return Outcome("refused")
        except RefusedError as error:
            self.outbox.reject(row, error)
            return Outcome("refused")
        if document is None:
            return Outcome("passed_over")
        sha256 = hashlib.sha256(document).hexdigest()
        if not self.outbox.mark_sent(self.session, self.order_id, sha256, self.contact_loaded_at, self.conversion()):
            return Outcome("passed_over")
        try:
            created = self.client.create_order(
                store.commerce_store_view,
                document,
                subject=self.order_id,
                personal=list(self.contact.texts()),
            )
        except OutcomeUnknownError as error:
            self.outbox.doubt(self.order_id, "unknown_outcome", str(error))
            return Outcome("in_doubt", error)
        except (
            UnavailableError,
            MisconfiguredError,
        ) as error:  # certainly nothing was done
            self.outbox.not_sent(self.order_id, error)
            raise
        except RefusedError as error:
            # A number that is taken: by this order, sent earlier, or by a stranger. Looking it up shows which.
            found = self.look_up() if error.code == "duplicate" else []
            if found:
                return self.link("adopted", *found)
            self.outbox.reject(row, error)
            return Outcome("refused")
        return self.link("created", created)

    def document(self, store: Store) -> bytes | None:
        """The request that creates the order; None when validation has to check it again first."""
        if problem := self.bad_address():
            note_addresses(self.session, {self.order_id: self.contact})
            self.outbox.withdraw(self.order_id, "new", f"{problem} Checked again in the next run.", closed_by="solved")
            return None
        products, missing = self.products(store)
        if missing:
            reason = f"Left the catalog after validation: {', '.join(missing)}. Checked again in the next run."
            self.outbox.withdraw(self.order_id, "new", reason, closed_by="solved")
            return None
        return self.request(store, products)

    def prepare(self, store: Store) -> tuple[str, str]:
        """For a dry run: what `advance` would do with a planned order, and why; reads only. Raises as `create` does."""
        found = self.look_up()
        if found:
            return "adopt", f"Commerce has order {found[0].number} for it already; it would be linked."
        if problem := self.bad_address():
            return "block", problem
        products, missing = self.products(store)
        if missing:
            return "wait", f"Not in the catalog any more: {', '.join(missing)}."
        self.request(store, products, is_dry_run=True)
        return "create", "Would be created in Commerce."

    def bad_address(self) -> str:
        """Why the delivery address cannot be used, as far as validation does not know it; empty: it can be used."""
        problem = address_problem(self.contact) if self.order.fulfilled_by == MERCHANT else ""
        return problem and BLOCKER_CODES["bad_address"].sentence.format(address_problem=problem)

    def products(self, store: Store) -> tuple[dict[str, CatalogProduct], list[str]]:
        """The products of the order by SKU, and the SKUs that the catalog lacks."""
        skus = {line.catalog_sku(store) for line in self.order.lines}
        products = self.catalog.products(self.session, self.client, store, skus)
        return products, sorted(skus - set(products))

    def request(self, store: Store, products: dict[str, CatalogProduct], *, is_dry_run: bool = False) -> bytes:
        """The body of the request that creates the order. Raises MalformedOrderError when it cannot be made."""
        view = self.catalog.view(self.session, self.client, store)
        placeholder = AddressPlaceholders.from_settings(self.settings)

        def body(customer_id: int | None) -> bytes:
            entity = order_entity(
                self.order,
                self.contact,
                store,
                view,
                products,
                shipping_method=self.settings.commerce_shipping_method,
                placeholder=placeholder,
                customer_id=customer_id,
                rate=self.rate,
            )
            return encode_order(entity)

        if store.orders.customer == "new_account":
            body(None)  # no account for an order that cannot be created
        customer_id = customer_of(
            self.client,
            store,
            view,
            self.contact,
            placeholder,
            amazon_order_id=self.order_id,
            is_dry_run=is_dry_run,
        )
        return body(customer_id)

    @cached_property  # read once: what is sent is what is kept
    def rate(self) -> ExchangeRate | None:
        """What converts the order's amounts; None: they stay, or there is no rate."""
        if self.store is None or not self.store.orders.is_currency_converted:
            return None
        view = self.catalog.view(self.session, self.client, self.store)
        orders = {self.order_id: (self.order, view.base_currency)}
        return find_rates(self.session, orders, oldest=self.settings.exchange_rate_age).get(self.order_id)

    def conversion(self) -> dict[str, Any]:
        """What ops.order_outbox keeps of the rate."""
        rate, total = self.rate, self.order.grand_total_amount
        return {
            "exchange_rate": rate and rate.rate,
            "exchange_rate_date": rate and rate.rate_date,
            "exchange_rate_source": rate and rate.source,
            "converted_amount": None if rate is None or total is None else rate.convert(total),
            "currency_code": rate and rate.to_currency,
        }

    def link(self, state: str, found: CommerceOrder, *others: CommerceOrder) -> Outcome:
        """Commit the Commerce order's id, then finish the order. `others`: further ones for the same Amazon order."""
        warnings = []
        total, currency = self.order.grand_total_amount, self.order.currency_code
        row = self.read()
        if row.converted_amount is not None:
            total, currency = row.converted_amount, row.currency_code
        # An order that a person entered in another currency is not compared.
        if total is not None and found.grand_total != total and found.currency in (None, currency):
            totals = {"found": f"{found.grand_total.normalize():f}", "expected": f"{total.normalize():f}"}
            warnings.append(self.warning(TOTAL_DIFFERS, number=found.number, **totals))
        if self.order.fulfilled_by == MERCHANT and is_withheld(self.contact):
            warnings.append(self.warning("placeholder_address"))
        linked = LinkedOrder(
            found.order_id,
            found.number,
            self.lines_of(found),
            [found, *others],
            warnings,
            contact_loaded_at=self.contact_loaded_at,
        )
        self.outbox.link(self.order_id, state, linked)
        # What was found may be older than the lock; the answer to our own request is as new as it can be.
        finished = self.finish(self.read(), found if state == "created" else None)
        return Outcome(state, finished.failure, then=finished.counted_as, is_timed=state == "created")

    def warning(self, code: str, **facts: str) -> Blocker:
        return Blocker(self.order_id, code, BLOCKER_CODES[code].sentence.format(**facts))

    def lines_of(self, found: CommerceOrder) -> dict[str, LineUnits]:
        """The lines of a Commerce order by Amazon's item ids. Lines that people entered match by SKU and quantity."""
        matched = match_lines(
            {
                line.amazon_item_id: (sku_key(line.pack(self.store).sku), line.ordered_qty * line.pack_units)
                for line in self.order.lines
                if line.amazon_item_id not in found.item_ids
            },
            {
                item_id: (sku_key(line.sku), line.ordered)
                for item_id, line in found.lines.items()
                if line.amazon_item_id is None
            },
        )
        return {amazon_id: found.lines[item_id] for amazon_id, item_id in (found.item_ids | matched).items()}

    def finish(self, row: Row[Any], found: CommerceOrder | None = None) -> Outcome:
        """Invoice the linked order and give it its final status; each part is looked at before it is done.

        `found`: the Commerce order, if the shop has just shown it. An order that Amazon canceled
        meanwhile stays without invoice: a plain cancellation in Commerce ends it. So does one that somebody has
        canceled or refunded in Commerce; `shop_findings` says so.
        """
        try:
            if self.order.amazon_status not in CANCELED_STATUSES:
                found = found or self.client.order(row.commerce_order_id)
                if not found.is_withdrawn and not self.complete(row, found):
                    return Outcome(INVOICED)
        except RefusedError as error:
            self.outbox.finish_refused(row, error)
            return Outcome("unfinished")
        except UnavailableError as error:
            return Outcome("unfinished", error)
        self.outbox.finish(row)
        return Outcome("finished")

    def complete(self, row: Row[Any], found: CommerceOrder) -> bool:
        """Invoice the order and give it its status, where that is not done yet.

        False: it has just been invoiced, which changes its status, and the status matters: it is to be looked at.
        """
        if row.invoiced_at is None:
            after = found if found.is_invoiced else self.invoice(found)
            self.outbox.mark_invoiced(self.order_id)
            if after is None:
                return not self.final_status()
            found = after
        self.set_status(found)
        return True

    def invoice(self, found: CommerceOrder) -> CommerceOrder | None:
        """Invoice once. None: it is done, and what became of the order was not looked at.

        A refusal of an order that turns out to be invoiced is success.
        """
        try:
            self.client.invoice(found.order_id)
        except RefusedError:
            after = self.client.order(found.order_id)
            if not after.is_invoiced:
                raise
            return after
        return None

    def final_status(self) -> str | None:
        """The status that the invoiced order is to have; None: the one that the invoice gives it."""
        if self.order.fulfilled_by == AMAZON:
            return "complete"
        return self.store.orders.processing_status if self.store is not None else None

    def set_status(self, found: CommerceOrder) -> None:
        """What Amazon has shipped is complete; other orders get the store's own status, if it has one."""
        status = self.final_status()
        if self.order.fulfilled_by == AMAZON:
            if found.state != "complete":
                self.client.set_status(found, state="complete", status="complete")
        elif status and found.state == "processing" and found.status != status:
            self.client.set_status(found, state="processing", status=status)
