"""The admin pages of the local shop: what blocks an order can be fixed there, and orders can be shipped and ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.commerce_shop import order_entity
from tests.support.orders import order_id
from tests.support.page_forms import Browser
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER, OTHER = order_id(1), order_id(2)
TRAY, VASE, CLOCK = "TRAY-WALNUT", "VASE-GLASS-TALL", "CLOCK-WALL-30"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Sandbox]:
    """A shop that saves what changes."""
    with Sandbox(build(datetime.now(UTC)), state_dir=tmp_path) as running:
        yield running


def products(sandbox: Sandbox) -> Browser:
    return Browser(f"{sandbox.commerce_url}/admin/catalog/product")


def order_page(sandbox: Sandbox, amazon_order_id: str) -> Browser:
    (order,) = sandbox.commerce.order_by_ext_id(amazon_order_id)
    return Browser(f"{sandbox.commerce_url}/admin/sales/order/view/order_id/{order['entity_id']}")


def commerce_order(sandbox: Sandbox, amazon_order_id: str) -> Any:
    (order,) = sandbox.commerce.order_by_ext_id(amazon_order_id)
    return order


def test_order_is_created_when_its_missing_product_is_added(road: Road) -> None:
    road.buy(ORDER, {"LANTERN-COPPER": 2})
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["missing_product"]
    browser = products(road.sandbox)
    browser.click("Add product")
    browser.submit(sku="LANTERN-COPPER", name="Copper Lantern", price="58.00", stock_1="5")
    assert "You created the product LANTERN-COPPER." in browser.page.text
    road.next_run()
    assert road.shown(ORDER).status == "Unshipped"
    assert commerce_order(road.sandbox, ORDER)["items"][0]["sku"] == "LANTERN-COPPER"


def test_order_is_created_when_the_stock_of_its_product_is_raised(road: Road) -> None:
    road.buy(ORDER, {VASE: 100})
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["out_of_stock"]
    browser = products(road.sandbox)
    browser.click(VASE)
    assert "Salable quantity: 58" in browser.page.text
    browser.submit(stock_1="100")
    assert "You saved the product." in browser.page.text
    assert "Salable quantity: 100" in browser.page.text
    road.next_run()
    assert commerce_order(road.sandbox, ORDER)["items"][0]["qty_ordered"] == 100


def test_order_is_created_when_its_product_is_enabled(road: Road) -> None:
    road.buy(ORDER, {CLOCK: 1})
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["disabled_product"]
    browser = products(road.sandbox)
    browser.click(CLOCK)
    browser.submit(status="1")
    road.next_run()
    assert commerce_order(road.sandbox, ORDER)["state"] == "processing"


def test_order_is_created_when_its_product_is_assigned_to_the_website(road: Road) -> None:
    road.sandbox.commerce.set_product(VASE, website_ids=(2, 3))
    road.buy(ORDER, {VASE: 1, TRAY: 1})
    road.next_run()
    shown = road.shown(ORDER)
    assert (shown.status, shown.blocker_codes) == ("Error", ["not_in_website"])
    assert shown.order_notes == (
        "Product VASE-GLASS-TALL (Amazon SKU VASE-GLASS-TALL) is not assigned to the website of the store view. "
        "In Commerce, open the product and tick the website under Product in Websites."
    )
    browser = products(road.sandbox)
    browser.click(VASE)
    browser.submit(website_1="1")
    road.next_run()
    assert commerce_order(road.sandbox, ORDER)["state"] == "processing"


def test_amazon_gets_the_package_when_an_order_is_shipped_on_its_page(road: Road) -> None:
    road.buy(ORDER, {TRAY: 3})
    road.next_run()
    browser = order_page(road.sandbox, ORDER)
    (item,) = commerce_order(road.sandbox, ORDER)["items"]
    browser.submit(
        action="/ship/", carrier="custom", title="Royal Mail", number="GB1", **{f"quantity_{item['item_id']}": "2"}
    )
    assert "The shipment has been created." in browser.page.text
    assert "Royal Mail: GB1" in browser.page.text
    browser.submit(action="/ship/", carrier="ups", number="1Z2")
    assert commerce_order(road.sandbox, ORDER)["state"] == "complete"
    assert "New shipment" not in browser.page.text
    road.pass_time(minutes=1)
    road.shipments_run()
    packages = road.sandbox.amazon.order(ORDER)["packages"]
    assert {package["trackingNumber"]: package["packageItems"][0]["quantity"] for package in packages} == {
        "GB1": 2,
        "1Z2": 1,
    }


def test_stock_is_free_again_when_an_invoiced_order_is_refunded(road: Road) -> None:
    road.sandbox.commerce.set_quantity(TRAY, 1, Decimal(3))
    road.buy(ORDER, {TRAY: 3})
    road.next_run()
    road.buy(OTHER, {TRAY: 2})
    road.next_run()
    assert road.shown(OTHER).blocker_codes == ["out_of_stock"]
    browser = order_page(road.sandbox, ORDER)
    assert "Refund and close" in browser.page.text
    browser.submit(action="/refund/")
    assert "The order is closed." in browser.page.text
    assert commerce_order(road.sandbox, ORDER)["state"] == "closed"
    road.pass_time(minutes=1)
    road.shipments_run()
    road.next_run()
    assert road.shown(OTHER).status == "Unshipped"


def test_order_is_canceled_when_it_is_not_invoiced(shop: Sandbox) -> None:
    shop.commerce.add_order(order_entity(ORDER))
    browser = order_page(shop, ORDER)
    browser.submit(action="/cancel/")
    assert "You canceled the order." in browser.page.text
    assert commerce_order(shop, ORDER)["state"] == "canceled"
    assert "<form" not in browser.page.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sku": " "}, "Enter a SKU."),
        ({"sku": TRAY.lower()}, "There is a product with the SKU tray-walnut already."),
        ({"name": ""}, "Enter a name."),
        ({"price": "much"}, "Enter a price that is a number, not &#39;much&#39;."),
        ({"price": "-1"}, "Enter a price that is a number"),
        ({"stock_2": "NaN"}, "Enter a quantity that is a number"),
    ],
)
def test_nothing_is_added_when_a_field_is_wrong(shop: Sandbox, fields: dict[str, str], message: str) -> None:
    count = len(shop.commerce.catalog.all())
    browser = products(shop)
    browser.click("Add product")
    browser.submit(**{"sku": "<b>NEW</b>", "name": "New", "price": "1", "stock_1": "7"} | fields)
    assert browser.page.status_code == 400
    assert message in browser.page.text
    assert 'value="7"' in browser.page.text, "what was entered is still there"
    assert "<b>" not in browser.page.text
    assert len(shop.commerce.catalog.all()) == count


def test_nothing_is_shipped_when_there_is_less_left(shop: Sandbox) -> None:
    shop.commerce.add_order(order_entity(ORDER))
    browser = order_page(shop, ORDER)
    item = commerce_order(shop, ORDER)["items"][0]["item_id"]
    browser.submit(action="/ship/", number="1Z1", **{f"quantity_{item}": "99"})
    assert browser.page.status_code == 400
    assert "invalid quantity to ship" in browser.page.text
    assert shop.commerce.shipments() == []


def test_change_is_kept_when_the_sandbox_is_started_again(shop: Sandbox, tmp_path: Path) -> None:
    browser = products(shop)
    browser.click("RUG-JUTE 120/180, NATURAL")
    browser.submit(price="120.5", stock_3="17")
    with Sandbox(build, state_dir=tmp_path) as again:
        product = again.commerce.catalog.find("RUG-JUTE 120/180, NATURAL")
    assert product is not None
    assert (product.price, product.quantities[3]) == (Decimal("120.5"), 17)


def test_page_is_missing_when_the_thing_is(shop: Sandbox) -> None:
    for path in ("sales/order/view/order_id/77", "catalog/product/edit?sku=NONE"):
        browser = Browser(f"{shop.commerce_url}/admin/{path}")
        assert browser.page.status_code == 404
        assert "no longer exists" in browser.page.text


def test_nothing_is_loaded_from_elsewhere_when_a_page_is_shown(shop: Sandbox) -> None:
    shop.commerce.add_order(order_entity(ORDER))
    for path in ("", "/catalog/product", "/catalog/product/new", f"/catalog/product/edit?sku={TRAY}"):
        page = Browser(f"{shop.commerce_url}/admin{path}").page
        assert page.status_code == 200
        assert not re.search(r"https?:|//|<script|<link|<img|@import|url\(", page.text.replace("<!doctype", ""))
    page = order_page(shop, ORDER).page
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", page.text)
