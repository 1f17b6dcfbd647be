"""The Commerce client when a fault strikes: a read is unavailable, a write in doubt, and each is sent once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from include.adapters.commerce.client import CommerceClient
from include.adapters.http import Timeouts
from include.domain.errors import MisconfiguredError, OrdersError, OutcomeUnknownError, ThrottledError, UnavailableError
from local.sandbox.faults import Fault
from local.sandbox.servers import Sandbox
from tests.support.commerce_client_fixtures import AMAZON_ORDER_ID, calls, connect, create, sandbox, servers

__all__ = ["calls", "connect", "sandbox", "servers"]  # fixtures: the tests name them as arguments


READ_FAULTS: dict[str, type[OrdersError]] = {
    "throttle": ThrottledError,
    "html_500": UnavailableError,
    "empty_500": UnavailableError,
    "html_503": UnavailableError,
    "slow": UnavailableError,
    "lost_reply": UnavailableError,
    "dropped": UnavailableError,
    "expired_token": MisconfiguredError,
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
    "expired_token": (MisconfiguredError, 0),
    "broken_json": (OutcomeUnknownError, 1),
}


def fault(operation: str, kind: Any) -> Fault:
    return Fault(operation, kind, seconds=1.0 if kind == "slow" else 0.0, retry_after=7 if kind == "throttle" else None)


@pytest.mark.parametrize("kind", READ_FAULTS)
def test_find_orders_when_a_fault_strikes(connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str) -> None:
    client = connect(timeouts=Timeouts(connect=5, read=0.4))
    created = create(connect())
    sandbox.commerce_faults.add(fault("searchOrders", kind))
    with pytest.raises(READ_FAULTS[kind]) as caught:
        client.find_orders(ext_order_id=AMAZON_ORDER_ID)
    assert type(caught.value) is READ_FAULTS[kind]
    assert sandbox.commerce_faults.calls["searchOrders"] == 1
    if isinstance(caught.value, ThrottledError):
        assert caught.value.retry_after == timedelta(seconds=7)
    assert client.find_orders(ext_order_id=AMAZON_ORDER_ID) == [created]


@pytest.mark.parametrize("kind", WRITE_FAULTS)
def test_create_order_when_a_fault_strikes(connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str) -> None:
    client = connect(timeouts=Timeouts(connect=5, read=0.4))
    sandbox.commerce_faults.add(fault("createOrder", kind))
    error, orders = WRITE_FAULTS[kind]
    with pytest.raises(error) as caught:
        create(client)
    assert type(caught.value) is error
    assert "Lovelace" not in str(caught.value)
    deadline = time.monotonic() + 5
    while len(sandbox.commerce.orders()) < orders and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(sandbox.commerce.orders()) == orders
    assert sandbox.commerce_faults.calls["createOrder"] == 1


@pytest.mark.parametrize("kind", [kind for kind, (error, _) in WRITE_FAULTS.items() if error is OutcomeUnknownError])
def test_invoice_when_a_fault_strikes(connect: Callable[..., CommerceClient], sandbox: Sandbox, kind: str) -> None:
    client = connect(timeouts=Timeouts(connect=5, read=0.4))
    created = create(connect())
    sandbox.commerce_faults.add(fault("invoiceOrder", kind))
    with pytest.raises(OutcomeUnknownError, match=created.order_id):
        client.invoice(created.order_id)


def test_write_when_no_server_listens(connect: Callable[..., CommerceClient]) -> None:
    with pytest.raises(UnavailableError) as caught:
        create(connect(host="http://127.0.0.1:9"))
    assert not isinstance(caught.value, OutcomeUnknownError)
