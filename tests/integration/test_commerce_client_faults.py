"""The Commerce client when a fault strikes: a read is unavailable, a write in doubt, and each is sent once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from include.adapters.commerce.client import CommerceClient
from include.adapters.http import NotAuthorizedError
from include.domain.errors import OrdersError, OutcomeUnknownError, ThrottledError, UnavailableError
from local.sandbox.faults import Fault
from local.sandbox.servers import Sandbox
from tests.support.commerce_client_fixtures import AMAZON_ORDER_ID, calls, connect, create, sandbox, servers
from tests.support.waiting import SLOW_SECONDS, patience, wait_until

__all__ = ["calls", "connect", "sandbox", "servers"]  # fixtures: the tests name them as arguments


READ_FAULTS: dict[str, type[OrdersError]] = {
    "throttle": ThrottledError,
    "html_500": UnavailableError,
    "empty_500": UnavailableError,
    "html_503": UnavailableError,
    "slow": UnavailableError,
    "lost_reply": UnavailableError,
    "dropped": UnavailableError,
    "expired_token": NotAuthorizedError,
    "broken_json": UnavailableError,
}
# The error of a write, and how many orders exist afterwards.
WRITE_FAULTS: dict[str, tuple[type[OrdersError], int]] = {
    "throttle": (ThrottledError, 0),
    "html_500": (OutcomeUnknownError, 0),
    "empty_500": (OutcomeUnknownError, 0),
    "html_503": (OutcomeUnknownError, 0),
    "slow": (OutcomeUnknownError, 1),
    "lost_reply": (OutcomeUnknownError, 1),
    "dropped": (OutcomeUnknownError, 0),
    "expired_token": (NotAuthorizedError, 0),
    "broken_json": (OutcomeUnknownError, 1),
}


def fault(operation: str, kind: Any) -> Fault:
    return Fault(operation, kind, seconds=SLOW_SECONDS, retry_after=7 if kind == "throttle" else None)


@pytest.mark.parametrize("kind", READ_FAULTS)
def test_order_search_is_sent_once_when_a_fault_strikes(
    connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str
) -> None:
    client = connect(timeouts=patience(kind))
    created = create(connect())
    sandbox.commerce_faults.add(fault("searchOrders", kind))
    with pytest.raises(READ_FAULTS[kind]) as caught:
        client.find_orders(ext_order_id=AMAZON_ORDER_ID)
    assert type(caught.value) is READ_FAULTS[kind]
    wait_until(lambda: sandbox.commerce_faults.pending() == [], "the fault to be met")
    assert sandbox.commerce_faults.calls["searchOrders"] == 1
    if isinstance(caught.value, ThrottledError):
        assert caught.value.retry_after == timedelta(seconds=7)
    assert connect().find_orders(ext_order_id=AMAZON_ORDER_ID) == [created]


@pytest.mark.parametrize("kind", WRITE_FAULTS)
def test_order_is_posted_once_when_a_fault_strikes(
    connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str
) -> None:
    client = connect(timeouts=patience(kind))
    sandbox.commerce_faults.add(fault("createOrder", kind))
    error, orders = WRITE_FAULTS[kind]
    with pytest.raises(error) as caught:
        create(client)
    assert type(caught.value) is error
    assert "Lovelace" not in str(caught.value)
    wait_until(lambda: len(sandbox.commerce.orders()) >= orders, "the work that the client did not wait for")
    assert len(sandbox.commerce.orders()) == orders
    assert sandbox.commerce_faults.calls["createOrder"] == 1


@pytest.mark.parametrize("kind", [kind for kind, (error, _) in WRITE_FAULTS.items() if error is OutcomeUnknownError])
def test_invoice_is_in_doubt_when_a_fault_strikes(
    connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str
) -> None:
    client = connect(timeouts=patience(kind))
    created = create(connect())
    sandbox.commerce_faults.add(fault("invoiceOrder", kind))
    with pytest.raises(OutcomeUnknownError, match=created.order_id):
        client.invoice(created.order_id)


def test_write_is_not_in_doubt_when_no_server_listens(connect: Callable[..., CommerceClient]) -> None:
    with pytest.raises(UnavailableError) as caught:
        create(connect(host="http://127.0.0.1:9"))
    assert not isinstance(caught.value, OutcomeUnknownError)
