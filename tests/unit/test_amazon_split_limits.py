"""The split lets through what the tables can hold and names what they cannot, without the value."""

from __future__ import annotations

from typing import Any

import pytest

from include.adapters.amazon.contract import parse_moment
from include.adapters.amazon.split import split_order
from include.domain.errors import MalformedOrderError
from tests.support.orders import amazon_order, order_id


def order(**item: Any) -> dict[str, Any]:
    document = amazon_order(order_id(1))
    document["orderItems"][0] |= item
    return document


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "USD"}


def breakdowns(count: int, amount: str, kind: str = "ITEM") -> dict[str, Any]:
    return {"breakdowns": [{"type": kind, "subtotal": money(amount)}] * count}


def refused(document: dict[str, Any]) -> list[str]:
    with pytest.raises(MalformedOrderError) as caught:
        split_order(document)
    assert "Resolution:" in str(caught.value)
    return caught.value.findings


@pytest.mark.parametrize("name", ["sellerSku", "asin"])
def test_key_is_taken_when_it_has_255_characters_and_refused_when_it_has_more(name: str) -> None:
    assert split_order(order(product={name: "S" * 255})).payload["orderItems"][0]["product"] == {name: "S" * 255}
    assert refused(order(product={name: "S" * 256})) == [f"orderItems[0].product.{name}: maxLength"]


def test_other_text_is_taken_when_it_has_10000_characters_and_refused_when_it_has_more() -> None:
    assert split_order(order(product={"title": "T" * 10_000}))
    assert refused(order(product={"title": "T" * 10_001})) == ["orderItems[].product.title: maxLength"]


def test_personal_text_is_taken_when_it_is_long_or_malformed() -> None:
    document = order()
    document["recipient"]["deliveryAddress"]["name"] = "N\x00\ud800" * 10_000
    assert split_order(document).contact["recipient"]["deliveryAddress"]["name"].startswith("N\x00")


@pytest.mark.parametrize("number", [10**60, -(10**60)])
def test_whole_number_is_refused_when_it_is_absurd(number: int) -> None:
    points = {"pointsCost": {"pointsGranted": {"pointsNumber": number}}}
    path = "orderItems[].expense.pointsCost.pointsGranted.pointsNumber"
    assert refused(order(expense=points)) == [f"{path}: characters or digits"]


@pytest.mark.parametrize("kind", ["ITEM", "TAX", "DISCOUNT", "NEW_KIND"])
def test_breakdowns_are_refused_when_their_sum_is_beyond_the_columns(kind: str) -> None:
    assert split_order(order(proceeds=breakdowns(9, "-99999999999999.9999", kind)))
    finding = "orderItems[].proceeds.breakdowns[]: sum"
    assert refused(order(proceeds=breakdowns(11, "-99999999999999.9999", kind))) == [finding]


def test_lines_are_refused_when_their_sum_is_beyond_the_columns() -> None:
    document = order(proceeds={"proceedsTotal": money("99999999999999")})
    line = document["orderItems"][0]
    document["orderItems"] = [line | {"orderItemId": str(number)} for number in range(11)]
    assert refused(document) == ["orderItems[].proceeds.proceedsTotal: sum"]


def test_lines_are_refused_when_there_are_more_than_1000() -> None:
    document = order()
    line = document["orderItems"][0]
    document["orderItems"] = [line | {"orderItemId": str(number)} for number in range(1001)]
    assert refused(document) == ["orderItems: maxItems"]


@pytest.mark.parametrize("moment", ["0001-01-02T00:00:00Z", "9999-12-30T23:59:59.999999999Z"])
def test_moment_is_taken_when_every_zone_has_it(moment: str) -> None:
    assert parse_moment(moment)


@pytest.mark.parametrize(
    "moment", ["0001-01-01T23:59:59Z", "9999-12-31T00:00:00Z", "9999-12-30T23:59:59-01:00", "0001-01-02T00:30:00+01:00"]
)
def test_moment_is_refused_when_some_zone_does_not_have_it(moment: str) -> None:
    with pytest.raises(ValueError, match="outside the calendar"):
        parse_moment(moment)


def test_findings_name_plain_fields_only_when_names_are_odd() -> None:
    document = order()
    document |= {"plainName": 1, "Kwz Müller": 2, "x" * 61: 3, "a\x00b": 4, "": 5}
    assert split_order(document).findings == ["?", "plainName"]


def test_findings_end_at_50_when_an_order_has_thousands_of_unknown_fields() -> None:
    document = order() | {f"field{number:05d}": number for number in range(5000)}
    found = split_order(document)
    assert len(found.findings) == 50
    assert len(found.contact) >= 5000, "what they hold is kept"
