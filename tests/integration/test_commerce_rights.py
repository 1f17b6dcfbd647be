"""The documented rights are those that the client's calls need; a shop that lacks one names it, and so do we."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.adapters.commerce.changes import changed_shipments
from include.adapters.commerce.client import CommerceClient
from include.adapters.commerce.rights import (
    CREATE_ORDERS,
    HARMLESS,
    LEGACY_STOCK,
    NEEDED,
    RIGHT_OF,
    SAVE_ORDERS,
    Right,
)
from include.adapters.http import NotAuthorizedError
from include.domain.errors import MisconfiguredError
from local.sandbox.clock import SandboxClock
from local.sandbox.commerce.routes import ROUTES
from local.sandbox.scenario import build
from local.sandbox.servers import Sandbox
from tests.support.commerce_client_fixtures import calls, client, connect, create, entity, sandbox, servers

__all__ = ["calls", "client", "connect", "sandbox", "servers"]  # fixtures: the tests name them as arguments

ADAPTER = Path(__file__).parents[2] / "include" / "adapters" / "commerce"
SENDERS = {"_send", "_search", "pages"}
ALL = {right.resource for right in (*NEEDED, CREATE_ORDERS)}
# What the data path asks of a shop, by the right that it needs.
WORK: dict[Right, Callable[[CommerceClient], Any]] = {
    RIGHT_OF["storeViews"]: lambda client: client.store_views(),
    RIGHT_OF["searchProducts"]: lambda client: client.products("default", ["Plain-1"]),
    RIGHT_OF["areSalableForQty"]: lambda client: client.salable_quantity("Plain-1", 1),
    RIGHT_OF["stockItem"]: lambda client: client.legacy_quantity("Plain-1"),
    RIGHT_OF["searchOrders"]: lambda client: client.find_orders(ext_order_id="1"),
    RIGHT_OF["createOrder"]: lambda client: create(client),
    RIGHT_OF["saveAddress"]: lambda client: client.save_address("1", 1, {}, personal=[]),
    RIGHT_OF["invoiceOrder"]: lambda client: client.invoice("1"),
    RIGHT_OF["cancelOrder"]: lambda client: client.cancel("1"),
    RIGHT_OF["refundOrder"]: lambda client: client.refund("1", {"1": 1}, with_shipping=False),
    RIGHT_OF["holdOrder"]: lambda client: client.hold("1"),
    RIGHT_OF["unholdOrder"]: lambda client: client.unhold("1"),
    RIGHT_OF["searchShipments"]: lambda client: list(changed_shipments(client, SandboxClock().now())),
    RIGHT_OF["searchCustomers"]: lambda client: client.customer_id("ada@example.com", 1),
    RIGHT_OF["createCustomer"]: lambda client: client.create_customer({}, subject="1", personal=[]),
}


def sent_operations() -> set[str]:
    """The operations that the code of the adapter sends to a shop."""
    return {
        node.args[0].value
        for path in ADAPTER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (isinstance(node.func, ast.Attribute) and node.func.attr in SENDERS)
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_right_is_declared_when_compared_with_the_calls_of_the_client() -> None:
    assert set(RIGHT_OF) == sent_operations()
    assert set(HARMLESS) == set(NEEDED) == set(WORK)


def test_declared_rights_are_right_when_compared_with_the_routes_of_the_shop() -> None:
    asked = {route.operation: route.resource for route in ROUTES if route.pattern.pattern != "orders/create"}
    asked["updateOrder"] = asked["createOrder"]  # the same route, with the id of an order
    assert {operation: right.resource for operation, right in RIGHT_OF.items()} == {
        operation: asked[operation] for operation in RIGHT_OF
    }


def test_integration_of_the_scenario_has_the_documented_rights_when_it_starts() -> None:
    documented = {right.resource for right in NEEDED if right != LEGACY_STOCK}
    assert build(SandboxClock().now()).commerce.rights == documented, "the shop has multi-source inventory"


@pytest.mark.parametrize("right", NEEDED, ids=lambda right: right.resource)
def test_missing_right_is_named_when_the_work_needs_it(
    right: Right, client: CommerceClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.commerce, "rights", ALL - {right.resource})
    with pytest.raises(NotAuthorizedError) as caught:
        WORK[right](client)
    said = str(caught.value)
    assert f"the right {right.place} ({right.resource})" in said
    assert isinstance(caught.value, MisconfiguredError), "no retry can help"


@pytest.mark.parametrize("missing", NEEDED, ids=lambda right: right.resource)
def test_probes_find_the_missing_right_when_all_are_tried(
    missing: Right, client: CommerceClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.commerce, "rights", ALL - {missing.resource})
    refused = []
    for right in NEEDED:
        try:
            client.probe_right(right)
        except NotAuthorizedError:
            refused.append(right)
    assert refused == [missing]


def test_shop_is_unchanged_when_all_rights_are_probed(client: CommerceClient, sandbox: Sandbox) -> None:
    order = create(client)
    before = sandbox.commerce.snapshot()
    for right in NEEDED:
        client.probe_right(right)
    assert sandbox.commerce.snapshot() == before
    assert sandbox.commerce.mails == []
    assert not client.order(order.order_id).is_invoiced


def test_right_to_create_is_named_when_the_shop_is_older(
    client: CommerceClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = replace(sandbox.commerce.seed, save_orders_right=CREATE_ORDERS.resource)
    monkeypatch.setattr(sandbox.commerce, "seed", older)
    monkeypatch.setattr(sandbox.commerce, "rights", {right.resource for right in NEEDED if right != CREATE_ORDERS})
    for attempt in (lambda: create(client), lambda: client.probe_right(SAVE_ORDERS)):
        with pytest.raises(NotAuthorizedError) as caught:
            attempt()
        assert f"the right {CREATE_ORDERS.place} (Magento_Sales::create)" in str(caught.value)
    monkeypatch.setattr(sandbox.commerce, "rights", ALL)
    assert create(client).ext_order_id == entity()["ext_order_id"]


def test_call_is_not_sent_when_its_right_is_not_declared(client: CommerceClient, sandbox: Sandbox) -> None:
    with pytest.raises(LookupError, match="commentOrder"):
        client._send("commentOrder", "POST", "orders/1/comments", body={})
    assert not sandbox.commerce_faults.calls
