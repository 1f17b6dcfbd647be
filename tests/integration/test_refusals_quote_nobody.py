"""Commerce quotes the buyer when it refuses: nothing of it is stored or logged outside `pii`, then or later."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from local.sandbox.commerce import orders as commerce_orders
from local.sandbox.commerce.errors import CommerceRefusal
from local.sandbox.commerce.state import CommerceState
from local.sandbox.seeds import AmazonOrderSeed, StoreView
from tests.support.orders import SELLER_US, amazon_order, order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

PEOPLE = {
    "two letters": ("Bo Li", "4711 Elm", "+49 171 2345678"),
    "one letter": ("Q Y", "4711 Elm", "+49 171 2345678"),
    "Japanese": ("山田 太郎", "4711 Elm", "+49 171 2345678"),
}
QUOTES: dict[str, Callable[[str, str, str], CommerceRefusal]] = {
    "free text": lambda name, house, phone: CommerceRefusal(
        400, f"{name} of house {house} does not answer: {phone}, {respaced(phone)}"
    ),
    "lines": lambda name, house, phone: CommerceRefusal(400, f"We can't save the address:\n{name} is a required field"),
    "parameters": lambda name, house, phone: CommerceRefusal(
        400, "%name of house %house does not answer: %phone", {"name": name, "house": house, "phone": respaced(phone)}
    ),
    "glued template": lambda name, house, phone: CommerceRefusal(400, f"{name} of %1 is not known", [house]),
    "field name": lambda name, house, phone: CommerceRefusal(
        400, '"%fieldName" is required. Enter and try again.', {"fieldName": name}
    ),
}


def respaced(phone: str) -> str:
    digits = re.sub(r"\D", "", phone)
    return f"0{digits[2:4]}-{digits[4:7]} {digits[7:9]}.{digits[9:]}"


def traces(text: str, name: str, phone: str) -> list[str]:
    """What a text has of the person: words of the name, the house number, the phone in any spacing."""
    close = re.sub(r"[\s./()+-]", "", text)
    digits = re.sub(r"\D", "", phone)[2:]
    found = [word for word in [*name.split(), "4711"] if re.search(rf"(?<!\w){word}(?!\w)", text)]
    return found + [phone] * (digits in close)


def everything(road: Road, caplog: pytest.LogCaptureFixture) -> str:
    tables = {name: rows for name, rows in road.dump().items() if not name.startswith("pii.")}
    return f"{tables} {caplog.text}"


def buy(road: Road, amazon_order_id: str, person: str = "two letters") -> None:
    name, house, phone = PEOPLE[person]
    order = amazon_order(amazon_order_id, {"TRAY-WALNUT": 1}, at=road.sandbox.clock.now())
    order["buyer"]["buyerName"] = name
    order["recipient"]["deliveryAddress"] |= {"name": name, "addressLine1": house, "phone": phone}
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, order))


def refuse(monkeypatch: pytest.MonkeyPatch, refusals: dict[str, CommerceRefusal]) -> None:
    """The shop refuses these orders, by their Amazon order ids."""
    real = CommerceState.create_order

    def create(state: CommerceState, entity: Any, view: StoreView | None) -> Any:
        if refusal := refusals.get(entity["ext_order_id"]):
            raise refusal
        return real(state, entity, view)

    monkeypatch.setattr(CommerceState, "create_order", create)


def test_nothing_of_the_buyer_is_left_when_commerce_quotes_it(
    road: Road, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    road.with_account("acme-na")
    road.change_settings(breaker_refusals=0)  # the circuit breaker would stop the store
    refusals: dict[str, CommerceRefusal] = {}
    for number, (person, quote) in enumerate(product(PEOPLE, QUOTES)):
        refusals[order_id(number)] = QUOTES[quote](*PEOPLE[person])
        buy(road, order_id(number), person)
    orders = list(refusals)
    refuse(monkeypatch, refusals)
    assert road.run_as_airflow() == []

    for one in orders:
        assert road.shown(one).status == "Error"
        assert "Commerce refused the order" in road.shown(one).order_notes
    for name, house, phone in PEOPLE.values():
        assert traces(everything(road, caplog), name, phone) == []
        assert traces(f"{name} at {house}", name, phone)
        assert traces(f"call {respaced(phone)}", name, phone), "it would be found"

    refusals.clear()
    road.pass_time(hours=1)
    assert road.run_as_airflow() == []
    for one in orders:
        assert road.shown(one).status == "Unshipped"
    for name, _, phone in PEOPLE.values():
        assert traces(everything(road, caplog), name, phone) == []


def test_nothing_of_the_buyer_is_left_when_commerce_refuses_the_invoice(
    road: Road, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name, house, phone = PEOPLE["two letters"]
    caplog.set_level(logging.DEBUG)
    road.with_account("acme-na")
    buy(road, order_id(1))

    def refuse_invoice(*arguments: Any, **options: Any) -> Any:
        raise CommerceRefusal(400, f"Invoice Document Validation Error(s):\n{name} of {house} owes %1", ["Bo"])

    monkeypatch.setattr(commerce_orders, "quantities_to_invoice", refuse_invoice)
    assert road.run_as_airflow() == []

    notes = road.shown(order_id(1)).order_notes
    assert "its invoice was refused: Invoice Document Validation Error(s); it gave more, which is not stored" in notes
    assert traces(everything(road, caplog), name, phone) == []


def test_notes_name_the_causes_when_they_are_common_ones(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    causes = [
        (CommerceRefusal(400, "The requested Payment Method is not available."), "enable it in the shop"),
        (CommerceRefusal(400, "We can't save the address:\nCity is a required field"), '"City" is required'),
        (CommerceRefusal(400, "Please enter the state/province."), '"state/province" is required'),
        (CommerceRefusal(400, "Product that you are trying to add is not available."), "A product is not available"),
        (CommerceRefusal(400, "Unique constraint violation found"), "the number of the order is taken"),
        (CommerceRefusal(400, "Shipping to %1 is suspended, says our module.", ["OR"]), "Shipping to [1] is suspended"),
    ]
    road.with_account("acme-na")
    for number in range(len(causes)):
        buy(road, order_id(number))
    refuse(monkeypatch, {order_id(number): refusal for number, (refusal, _) in enumerate(causes)})
    road.run_as_airflow()
    for number, (_, note) in enumerate(causes):
        assert note in road.shown(order_id(number)).order_notes
