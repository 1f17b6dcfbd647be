"""Orders that no table can hold, and orders on which the database fails for a reason nobody knows: only they wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.database.isolation import describe, isolate
from local.sandbox.seeds import AmazonOrderSeed
from tests.support.orders import SELLER_US, amazon_order, order_id
from tests.support.road import Road

TRAY = {"TRAY-WALNUT": 1}
BAD = order_id(5)
Spoil = Callable[[dict[str, Any]], Any]


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def created(road: Road) -> list[str]:
    return sorted(order["ext_order_id"] for order in road.sandbox.commerce.orders())


def plant(admin_engine: Engine, statement: str) -> None:
    with admin_engine.begin() as connection:
        connection.execute(text(statement))


def item(document: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = document["orderItems"][0]
    return first


def product(**values: Any) -> Spoil:
    return lambda document: item(document)["product"].update(values)


def status(value: str) -> Spoil:
    return lambda document: document["fulfillment"].update(fulfillmentStatus=value)


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "USD"}


def many_breakdowns(document: dict[str, Any]) -> None:
    huge = {"type": "ITEM", "subtotal": money("99999999999999.99")}
    item(document)["proceeds"]["breakdowns"] = [huge] * 200


def many_lines(document: dict[str, Any]) -> None:
    line = item(document)
    document["orderItems"] = [
        line | {"orderItemId": f"{number:014d}", "quantityOrdered": 1_000_000} for number in range(2200)
    ]


def many_expensive_lines(document: dict[str, Any]) -> None:
    line = item(document) | {"proceeds": {"proceedsTotal": money("99999999999999.99")}}
    document["orderItems"] = [line | {"orderItemId": f"{number:014d}"} for number in range(900)]


def ship_by(moment: str) -> Spoil:
    return lambda document: document["fulfillment"].update(shipByWindow={"latestDateTime": moment})


EXTREME: list[tuple[Spoil, str]] = [
    (lambda document: document.update(orderId="114-0000005-00\x0000001"), "orderId: pattern"),
    (lambda document: document.update(orderId="114-0000005-00\ud80000001"), "orderId: pattern"),
    (status("S" * 3000), "fulfillment.fulfillmentStatus: maxLength"),
    (status("UNSHIPPED\ud800"), "fulfillment.fulfillmentStatus: characters or digits"),
    (product(sellerSku="S" * 3000), "orderItems[0].product.sellerSku: maxLength"),
    (product(asin="A" * 3000), "orderItems[0].product.asin: maxLength"),
    (product(title="T" * 20_000), "orderItems[].product.title: maxLength"),
    (product(title="a\x00b"), "orderItems[].product.title: characters or digits"),
    (lambda document: document.update(programs=["P" * 3000]), "programs[0]: maxLength"),
    (many_breakdowns, "orderItems[].proceeds.breakdowns[]: sum"),
    (many_expensive_lines, "orderItems[].proceeds.proceedsTotal: sum"),
    (many_lines, "orderItems: maxItems"),
    (ship_by("9999-12-31T23:59:59.9999999Z"), "fulfillment.shipByWindow.latestDateTime: format"),
    (ship_by("0001-01-01T00:00:00Z"), "fulfillment.shipByWindow.latestDateTime: format"),
]


def test_the_rest_is_created_when_no_table_can_store_some_orders(road: Road) -> None:
    for number, (spoil, _) in enumerate(EXTREME, start=10):
        document = amazon_order(order_id(number), TRAY, at=road.sandbox.clock.now())
        spoil(document)
        road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    for number in (1, 2):
        road.buy(order_id(number), TRAY)
    road.next_run()

    assert created(road) == [order_id(1), order_id(2)]
    shown = road.rows("select * from reporting.quarantined_orders")
    assert sorted(row.findings[0] for row in shown) == sorted(finding for _, finding in EXTREME)
    assert road.value("select count(*) from core.orders") == 2


def test_all_is_staged_when_values_are_at_their_limits(road: Road) -> None:
    document = amazon_order(order_id(1), TRAY, at=road.sandbox.clock.now())
    for spoil in (
        status("S" * 255),
        product(sellerSku="\U0001f600" * 255, asin="\U0001f600" * 255, title="\U0001f600" * 10_000),
        ship_by("9999-12-30T23:59:59.999999999Z"),
    ):
        spoil(document)
    most = {"quantityOrdered": 1_000_000, "proceeds": {"proceedsTotal": money("999999999999.99")}}
    lines = [{"orderItemId": f"{number:064d}", **most} for number in range(999)]
    document["orderItems"] = [item(document) | most, *lines]
    road.sandbox.amazon.add_order(AmazonOrderSeed(SELLER_US, document))
    road.pass_time(minutes=10)
    road.stage_stores()
    road.extract_amazon_orders()
    assert road.stage_amazon_orders()["orders"] == 1
    road.publish_recent_orders()
    assert road.shown(order_id(1)).status == "S" * 255


# Failures of a kind that nobody has foreseen

TRIGGER = """
    create or replace function core.planted() returns trigger language plpgsql as $$
    begin
        if new.amazon_order_id in ('{bad}') then
            raise exception 'planted for %', new.amazon_order_id using errcode = '{state}';
        end if;
        return new;
    end $$;
    create trigger planted before insert or update on {table} for each row execute function core.planted();
"""


@pytest.mark.parametrize(
    ("state", "count"), [("P0001", 200), ("ZZ123", 6), ("22012", 6), ("54000", 6), ("XX000", 6), ("42883", 6)]
)
def test_all_other_orders_are_staged_when_the_database_fails_on_one(
    road: Road, admin_engine: Engine, state: str, count: int
) -> None:
    plant(admin_engine, TRIGGER.format(bad=BAD, state=state, table="core.order_items"))
    for number in range(1, count + 1):
        road.buy(order_id(number), TRAY)
    road.pass_time(minutes=10)
    road.run_number += 1
    road.stage_stores()
    road.extract_amazon_orders()
    counts = road.stage_amazon_orders()

    assert (counts["orders"], counts["quarantined"]) == (count - 1, 1)
    staged = {row.amazon_order_id for row in road.rows("select amazon_order_id from core.orders")}
    assert staged == {order_id(number) for number in range(1, count + 1)} - {BAD}
    assert road.value("select count(*) from core.order_items") == count - 1
    (shown,) = road.rows("select * from reporting.quarantined_orders")
    assert (shown.amazon_order_id, shown.account_name) == (BAD, "acme-na")
    assert state in shown.findings[0] and "planted" not in shown.findings[0]


def test_the_order_is_staged_when_the_cause_is_gone_and_amazon_sends_a_newer_version(
    road: Road, admin_engine: Engine
) -> None:
    plant(admin_engine, f"alter table core.orders add constraint planted check (amazon_order_id <> '{BAD}')")
    for number in (1, 2, 5):
        road.buy(order_id(number), TRAY)
    road.next_run()
    assert created(road) == [order_id(1), order_id(2)]
    road.next_run()
    assert len(road.rows("select * from reporting.quarantined_orders")) == 1, "although the listing shows it again"
    assert road.stage_amazon_orders()["pages"] == 0, "it is not tried again and again"
    plant(admin_engine, "alter table core.orders drop constraint planted")
    road.sandbox.amazon.apply(BAD, {"fulfillment": {"fulfillmentServiceLevel": "EXPEDITED"}})
    road.next_run()

    assert created(road) == [order_id(1), order_id(2), BAD]
    assert road.rows("select * from reporting.quarantined_orders") == []


def test_a_known_order_keeps_its_facts_when_the_database_fails_on_its_change(road: Road, admin_engine: Engine) -> None:
    for number in (1, 5):
        road.buy(order_id(number), TRAY)
    road.next_run()
    plant(admin_engine, TRIGGER.format(bad=BAD, state="P0001", table="core.orders"))
    for number in (1, 5):
        road.sandbox.amazon.apply(order_id(number), {"fulfillment": {"fulfillmentStatus": "CANCELLED"}})
    road.pass_time(minutes=10)
    road.run_number += 1
    road.extract_amazon_orders()
    assert road.stage_amazon_orders()["quarantined"] == 1
    statuses = dict(tuple(row) for row in road.rows("select amazon_order_id, amazon_status from core.orders"))
    assert statuses == {order_id(1): "CANCELLED", BAD: "UNSHIPPED"}
    assert road.value("select count(*) from core.order_status_changes where to_code = 'CANCELLED'") == 1


def test_the_step_fails_when_every_order_fails(road: Road, admin_engine: Engine) -> None:
    every = "', '".join(order_id(number) for number in range(1, 6))
    plant(admin_engine, TRIGGER.format(bad=every, state="P0001", table="core.orders"))
    for number in range(1, 6):
        road.buy(order_id(number), TRAY)
    with pytest.raises(Exception, match="planted"):
        road.next_run()
    assert road.rows("select * from ops.quarantined_orders") == [], "that is no order's fault"
    plant(admin_engine, "drop trigger planted on core.orders")
    road.next_run()
    assert len(created(road)) == 5


# The halving itself


def attempts_on(engine: Engine, bad: set[int], statement: str = "select 1 / 0") -> tuple[list[int], list[int], int]:
    """Isolate 0..63; returns what failed, what was done, and the number of attempts."""
    done: list[int] = []
    tries = 0

    def attempt(part: Any) -> None:
        nonlocal tries
        tries += 1
        with engine.begin() as connection:
            if bad & set(part):
                connection.execute(text(statement))
        done.extend(part)

    failures = isolate(range(64), attempt)
    return [number for number, _ in failures], done, tries


def test_isolate_finds_the_bad_ones_when_there_are_a_few(engine: Engine) -> None:
    failed, done, tries = attempts_on(engine, {3, 40})
    assert (failed, sorted(done)) == ([3, 40], sorted(set(range(64)) - {3, 40}))
    assert tries < 30


def test_isolate_tries_once_when_nothing_fails(engine: Engine) -> None:
    assert attempts_on(engine, set())[::2] == ([], 1)


@pytest.mark.parametrize("state", ["40001", "55P03", "57014", "53100"])
def test_isolate_blames_no_item_when_it_was_a_lock_or_the_server(engine: Engine, state: str) -> None:
    statement = f"do $$ begin raise exception 'planted' using errcode = '{state}'; end $$"
    with pytest.raises(Exception, match="planted"):
        attempts_on(engine, {3}, statement)


def test_isolate_blames_no_item_when_the_connection_is_lost(engine: Engine) -> None:
    with pytest.raises(Exception, match=r"terminat|closed"):
        attempts_on(engine, {3}, "select pg_terminate_backend(pg_backend_pid())")


def test_description_names_the_place_and_no_value_when_the_database_refuses_a_row(engine: Engine) -> None:
    def attempt(part: Any) -> None:
        with engine.begin() as connection:
            connection.execute(text("insert into ops.published_rules values ('kwz', null)"))

    ((_, error),) = isolate(["one"], attempt)
    assert describe(error) == "NotNullViolation (SQLSTATE 23502), table published_rules, column queued_at"
