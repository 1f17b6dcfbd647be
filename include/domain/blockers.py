"""Why an order may not be created yet, and what people should know of it: codes, severities, sentences and remedies.

The Great Expectations suite (`include/expectations`), the creation, and a look at the shop afterwards
(`include/outbox/shop_findings.py`) find them; these are their meanings for people. Only critical ones block an order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True)
class BlockerCode:
    """One kind of blocker. `sentence` takes fields of the checked line, or a reason; that of a finding, its facts."""

    code: str
    severity: Severity
    title: str
    sentence: str
    remedy: str


BLOCKER_CODES: dict[str, BlockerCode] = {
    blocker.code: blocker
    for blocker in (
        BlockerCode(
            "missing_product",
            "critical",
            "Product not in the catalog",
            "Product {catalog_sku} (Amazon SKU {seller_sku}) is not in the Commerce catalog.",
            "Create the product in Commerce with this SKU, or map the Amazon SKU (sku_map in stores.yaml).",
        ),
        BlockerCode(
            "disabled_product",
            "critical",
            "Product disabled",
            "Product {catalog_sku} (Amazon SKU {seller_sku}) is disabled in the store view.",
            "Enable the product in Commerce for this store view.",
        ),
        BlockerCode(
            "not_in_website",
            "critical",
            "Product not in the website",
            "Product {catalog_sku} (Amazon SKU {seller_sku}) is not assigned to the website of the store view.",
            "In Commerce, open the product and tick the website under Product in Websites.",
        ),
        BlockerCode(
            "unsupported_product_type",
            "critical",
            "Product type cannot be ordered",
            "Product {catalog_sku} (Amazon SKU {seller_sku}) is a bundle, group or parent; no order can name it.",
            "Map the Amazon SKU to a simple product (sku_map in stores.yaml).",
        ),
        BlockerCode(
            "out_of_stock",
            "critical",
            "Not enough stock",
            "Product {catalog_sku} (Amazon SKU {seller_sku}): {requested_qty} needed, {available_qty} free to sell.",
            "Raise the quantity or assign a source with stock in Commerce, or cancel the order on Amazon.",
        ),
        BlockerCode(
            "rejected_by_commerce",
            "critical",
            "Refused by Commerce",
            "Commerce refused the order: {reason}",
            "Fix what Commerce names; the order is tried again automatically.",
        ),
        BlockerCode(
            "store_misconfigured",
            "critical",
            "Store not set up",
            "The shop cannot be used: {reason}",
            "Correct the connection or stores.yaml as described; the order is checked again by the next run.",
        ),
        BlockerCode(
            "needs_attention",
            "critical",
            "Needs attention",
            "{reason}",
            "Automatic attempts are used up. Fix the cause, then run the DAG repair_amazon_order, action retry.",
        ),
        BlockerCode(
            "amount_missing",
            "critical",
            "Amazon gives no total",
            "Amazon gives no total for the order.",
            "Check the order in Seller Central, and create it in Commerce by hand if it is to be shipped.",
        ),
        BlockerCode(
            "bad_address",
            "critical",
            "Address cannot be used",
            "The delivery address cannot be used: {address_problem}.",
            "Look it up in Seller Central, then run the DAG repair_amazon_order, action correct, with these fields.",
        ),
        BlockerCode(
            "buyer_requested_cancel",
            "critical",
            "Buyer asked to cancel",
            "The buyer asked to cancel {seller_sku}.",
            "Cancel it in Seller Central; if you ship it instead, confirm the shipment there.",
        ),
        BlockerCode(
            "currency_mismatch",
            "critical",
            "Currency differs",
            "The order is in {currency_code}, the store view sells in {store_currency}.",
            "Bind the store in stores.yaml to a store view with the order's currency, or set currency: convert.",
        ),
        BlockerCode(
            "total_mismatch",
            "warning",
            "Total is not the lines' sum",
            "Amazon's grand total is not what its lines add up to: {total_mismatch}.",
            "Compare it in Seller Central. The Commerce order has the grand total; its comment names the difference.",
        ),
        BlockerCode(
            "commerce_total_differs",
            "warning",
            "Commerce has another total",
            "Commerce order {number} has the total {found}, Amazon's is {expected}.",
            "Find out in Commerce what has changed the total, and refund or correct the difference there.",
        ),
        BlockerCode(
            "duplicate_commerce_order",
            "warning",
            "Second Commerce order",
            "Commerce has another order for it, {others}, besides the linked {number}.",
            "In Commerce, cancel the one that is not linked, or refund it if it is invoiced; the notes name both.",
        ),
        BlockerCode(
            "ended_in_commerce",
            "warning",
            "Ended in Commerce only",
            "{what} in Commerce, but Amazon still expects {expected}.",
            "Cancel the order in Seller Central, or ship it and confirm it there; it is not created again.",
        ),
        BlockerCode(
            "lines_not_matched",
            "warning",
            "Lines not matched",
            "Commerce order {number} was not created by this project, and it is unclear which of its lines is {skus}.",
            "Confirm the shipments of these products in Seller Central; they are not confirmed automatically.",
        ),
        BlockerCode(
            "split_pack",
            "warning",
            "Part of a pack shipped",
            "Commerce has shipped only a part of a pack: {packs}.",
            "Ship the rest in Commerce; Amazon learns of a pack once all of it is shipped.",
        ),
        BlockerCode(
            "shipment_without_tracking",
            "warning",
            "Shipment without tracking number",
            "Shipped in Commerce, but not confirmed to Amazon: shipment {facts} has no tracking number.",
            "Add the number to the shipment in Commerce, or confirm the shipment in Seller Central.",
        ),
        BlockerCode(
            "shipped_twice",
            "warning",
            "More shipped than ordered",
            "Commerce has shipped {facts}; Amazon gets no more than was ordered.",
            "Stop the second parcel or ask for it back, and correct the shipment in Commerce.",
        ),
        BlockerCode(
            "shipment_deleted",
            "warning",
            "Shipment deleted in Commerce",
            "Deleted in Commerce, but confirmed to Amazon: shipment {facts}.",
            "If the parcel did not go out, tell the buyer and correct it in Seller Central; Amazon cannot take it back "
            "from here.",
        ),
        BlockerCode(
            "placeholder_address",
            "warning",
            "Address not given yet",
            "Amazon gives no delivery address; the Commerce order has placeholders.",
            "Do not ship yet. When Amazon gives the address, it is written to the Commerce order; until then it is in "
            "Seller Central.",
        ),
    )
}
