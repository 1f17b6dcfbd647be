"""Orders in another currency than their store view's: converted with the rate of their day, or blocked without one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError
from include.domain.stores import Stores
from include.steps import load_exchange_rates
from tests.support.orders import order_id
from tests.support.road import Road

pytestmark = pytest.mark.usefixtures("plain_rules")

ORDER, LATER = order_id(1), order_id(2)
UK = {"marketplace_id": "A1F83G8C2ARO7P", "currency": "GBP", "seller_id": "A2EXAMPLESELLER"}
TRAY = "TRAY-WALNUT"
HEADER = "rate_date,from_currency,to_currency,rate,source"


@pytest.fixture
def road(road: Road) -> Road:
    """Only Acme UK, whose store view is in euros, and whose orders are in pounds."""
    eu = road.stores.account("acme-eu")
    (uk,) = [store for store in eu.stores if store.name == "Acme UK"]
    road.stores = Stores((replace(eu, stores=(replace(uk, commerce_store_view="de"),)),))
    road.change_store("Acme UK", is_currency_converted=True)
    return road


def today(road: Road) -> date:
    return road.sandbox.clock.now().date()


def load(road: Road, *rows: str, header: str = HEADER, is_dry_run: bool = False) -> dict[str, int]:
    road.run_number += 1
    now = road.now()
    rates = load_exchange_rates.read_rates({"csv": "\n".join([header, *rows])}, now=now)
    return load_exchange_rates.run(road.engine, rates, is_dry_run=is_dry_run, now=now, dag_run_id=road.run_id)


def in_shop(road: Road, one: str = ORDER) -> list[Any]:
    return list(road.sandbox.commerce.order_by_ext_id(one))


def test_order_is_converted_with_the_newest_rate_before_it_when_its_store_converts(road: Road) -> None:
    day = today(road)
    rows = [f"{day - timedelta(days=ago)},GBP,EUR,{rate},ECB" for ago, rate in ((12, "9"), (3, "3"), (2, "1.1937"))]
    load(road, *rows, f"{day},EUR,GBP,0.5,ECB", f"{day + timedelta(days=1)},GBP,EUR,7,ECB")
    road.buy(ORDER, {TRAY: 1, "VASE-GLASS-TALL": 2}, **UK, unit_price="9.99")
    road.next_run()
    (order,) = in_shop(road)
    total = (Decimal("29.97") * Decimal("1.1937")).quantize(Decimal("0.01"))
    assert (Decimal(order["grand_total"]), order["order_currency_code"]) == (total, "EUR")
    assert Decimal(order["total_invoiced"]) == total, "what the lines add up to"
    said = f"Converted from 29.97 GBP at 1.1937 EUR for 1 GBP, the rate of {day - timedelta(days=2)} by ECB."
    assert order["status_histories"][0]["comment"].startswith(said)
    (kept,) = road.rows("select * from ops.order_outbox")
    assert (kept.exchange_rate, kept.exchange_rate_date) == (Decimal("1.1937"), day - timedelta(days=2))
    assert (kept.exchange_rate_source, kept.converted_amount, kept.currency_code) == ("ECB", total, "EUR")
    shown = road.shown(ORDER)
    assert (shown.grand_total_amount, shown.currency_code) == (Decimal("29.97"), "GBP")
    assert road.rows("select * from reporting.flagged_orders") == []


def test_order_is_blocked_until_a_rate_is_loaded_that_is_not_too_old(road: Road) -> None:
    day = today(road)
    load(road, f"{day - timedelta(days=12)},GBP,EUR,1.2,ECB")
    road.buy(ORDER, {TRAY: 1}, **UK)
    road.next_run()
    shown = road.shown(ORDER)
    assert shown.blocker_codes == ["currency_mismatch"]
    assert "The order is in GBP, the store view sells in EUR." in shown.order_notes
    assert (
        f"Load the exchange rate from GBP to the store view's currency for {day}, or for one of the 10 days"
        in shown.order_notes
    )
    assert in_shop(road) == []
    load(road, f"{day},GBP,EUR,1.2,ECB")
    road.next_run()
    assert Decimal(in_shop(road)[0]["grand_total"]) == 12
    assert road.shown(ORDER).blocker_codes == []


def test_order_is_blocked_when_its_store_does_not_convert(road: Road) -> None:
    load(road, f"{today(road)},GBP,EUR,1.2,ECB")
    road.change_store("Acme UK", is_currency_converted=False)
    road.buy(ORDER, {TRAY: 1}, **UK)
    road.next_run()
    assert road.shown(ORDER).blocker_codes == ["currency_mismatch"]
    assert "Bind the store in stores.yaml" in road.shown(ORDER).order_notes


def test_created_order_keeps_its_rate_when_another_is_loaded_while_it_is_in_doubt(road: Road) -> None:
    from local.sandbox.faults import Fault

    day = today(road)
    load(road, f"{day},GBP,EUR,1.2,ECB")
    road.sandbox.commerce_faults.add(Fault("createOrder", "lost_reply"))
    road.buy(ORDER, {TRAY: 1}, **UK)
    road.run_as_airflow()
    load(road, f"{day},GBP,EUR,1.5,ECB")
    for _ in range(3):
        road.run_as_airflow()
    assert [Decimal(order["grand_total"]) for order in in_shop(road)] == [Decimal(12)]
    assert road.value("select converted_amount from ops.order_outbox") == 12
    assert road.rows("select * from reporting.flagged_orders") == []


def test_rates_are_written_once_when_they_are_loaded_twice(road: Road) -> None:
    day = today(road)
    first, second = f"{day},GBP,EUR,1.2,ECB", f"{day - timedelta(days=1)},GBP,EUR,1.1,ECB"
    assert load(road, first, "", second, is_dry_run=True) == {"read": 2, "written": 2}
    assert road.rows("select * from reporting.exchange_rates") == []
    assert load(road, first, second) == {"read": 2, "written": 2}
    assert load(road, first, second) == {"read": 2, "written": 0}
    assert load(road, f"{day},GBP,EUR,1.25,ECB") == {"read": 1, "written": 1}
    assert road.value("select max(rate) from reporting.exchange_rates") == Decimal("1.25")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("2026-02-30,GBP,EUR,1.2,ECB", "rate_date is not a day"),
        ("2999-01-01,GBP,EUR,1.2,ECB", "rate_date is in the future"),
        ("2026-01-02,gbp,EURO,1.2,ECB", "from_currency is not a code of three capital letters, to_currency is not"),
        ("2026-01-02,EUR,EUR,1,ECB", "both currencies are the same"),
        ("2026-01-02,GBP,EUR,0,ECB", "rate must be at least 0.0000000001"),
        ("2026-01-02,GBP,EUR,NaN,ECB", "rate must be at least 0.0000000001"),
        ('2026-01-02,GBP,EUR,"1,2",ECB', "rate is not a number such as"),
        ("2026-01-02,GBP,EUR,1.00000000001,ECB", "rate has more than 10 decimals"),
        ("2026-01-02,GBP,EUR,1.2, ", "source is empty"),
        ("2026-01-02,GBP,EUR,1.2", "has 4 values, not 5"),
        ("2026-01-01,GBP,EUR,1.3,ECB", "the rate of this day is there twice"),
    ],
)
def test_nothing_is_loaded_when_a_line_is_wrong(road: Road, row: str, problem: str) -> None:
    with pytest.raises(MisconfiguredError, match=f"line 3: {problem}"):
        load(road, "2026-01-01,GBP,EUR,1.2,ECB", row)
    assert road.rows("select * from reporting.exchange_rates") == []


@pytest.mark.parametrize("text", [None, "", HEADER, "date,rate\n2026-01-01,1"])
def test_csv_is_refused_when_it_has_no_rates(road: Road, text: str | None) -> None:
    with pytest.raises(MisconfiguredError, match=r"The param csv .*Resolution"):
        load_exchange_rates.read_rates({"csv": text}, now=road.now())
