"""Failures of a kind that nobody has foreseen, planted for one order in each step: only that order waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.domain.errors import RunIncompleteError
from include.expectations.order_lines import ValidationReport
from include.outbox import order_checks
from include.outbox.order_creation import OrderCreation
from include.steps import stage_commerce_shipments, validate_orders
from tests.support.orders import order_id
from tests.support.road import Road

TRAY = {"TRAY-WALNUT": 1}
BAD = order_id(5)
SOUND = [order_id(number) for number in (1, 2, 3, 4, 6)]
_TRIGGER = """
    create or replace function core.planted() returns trigger language plpgsql as $$
    begin
        if new.{column} like '{bad}%' then
            raise exception 'planted' using errcode = 'P0001';
        end if;
        return new;
    end $$;
    create trigger planted before insert or update on {table} for each row execute function core.planted();
"""


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def plant(admin_engine: Engine, table: str, *, bad: str = BAD, column: str = "amazon_order_id") -> None:
    with admin_engine.begin() as connection:
        connection.execute(text(_TRIGGER.format(table=table, bad=bad, column=column)))


def remove(admin_engine: Engine, table: str) -> None:
    with admin_engine.begin() as connection:
        connection.execute(text(f"drop trigger planted on {table}"))


def buy_all(road: Road) -> None:
    for one in sorted([*SOUND, BAD]):
        road.buy(one, TRAY)


def created(road: Road) -> list[str]:
    return sorted(order["ext_order_id"] for order in road.sandbox.commerce.orders())


def assert_only_the_bad_one_waits(road: Road, cause: str) -> None:
    assert created(road) == SOUND
    shown = road.shown(BAD)
    assert (shown.status, shown.blocker_codes) == ("Error", ["needs_attention"])
    assert shown.order_notes.startswith(f"Not checked: {cause}")
    assert "Resolution: " in shown.order_notes and "planted" not in shown.order_notes


def test_only_its_order_waits_when_the_database_refuses_a_plan(road: Road, admin_engine: Engine) -> None:
    plant(admin_engine, "ops.order_outbox")
    buy_all(road)
    assert road.run_as_airflow() == []
    assert_only_the_bad_one_waits(road, "its result cannot be stored: RaiseException (SQLSTATE P0001)")

    remove(admin_engine, "ops.order_outbox")
    road.run_as_airflow()
    assert created(road) == sorted([*SOUND, BAD])
    assert (road.shown(BAD).status, road.shown(BAD).blocker_codes) == ("Unshipped", [])


def test_only_its_order_waits_when_a_rule_of_ours_fails_on_it(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    real = validate_orders.decide

    def decide(order: Any, *arguments: Any, **options: Any) -> Any:
        if order.amazon_order_id == BAD:
            raise KeyError("planted")
        return real(order, *arguments, **options)

    monkeypatch.setattr(validate_orders, "decide", decide)
    buy_all(road)
    assert road.run_as_airflow() == []
    assert_only_the_bad_one_waits(road, "KeyError while it was checked")
    monkeypatch.undo()
    road.run_as_airflow()
    assert created(road) == sorted([*SOUND, BAD])


def test_only_its_order_waits_when_its_lines_cannot_be_described(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    real = order_checks._line

    def line(candidate: Any, *arguments: Any) -> Any:
        if candidate.order.amazon_order_id == BAD:
            raise ZeroDivisionError("planted")
        return real(candidate, *arguments)

    monkeypatch.setattr(order_checks, "_line", line)
    buy_all(road)
    assert road.run_as_airflow() == []
    assert_only_the_bad_one_waits(road, "ZeroDivisionError while it was checked")


def failing_on(lines_of: str) -> Callable[..., ValidationReport]:
    real = order_checks.validate_lines

    def validate(lines: Any, rules: Any) -> ValidationReport:
        if any(line.amazon_order_id == lines_of for line in lines):
            raise RunIncompleteError("Validation is void (planted).")
        return real(lines, rules)

    return validate


def test_only_its_order_waits_when_great_expectations_cannot_evaluate_it(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_checks, "validate_lines", failing_on(BAD))
    buy_all(road)
    assert road.run_as_airflow() == []
    assert_only_the_bad_one_waits(road, "RunIncompleteError while it was checked")
    assert road.value("select count(*) from ops.validation_results") > 0


def test_the_step_fails_when_great_expectations_can_evaluate_nothing(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    def void(lines: Any, rules: Any) -> ValidationReport:
        raise RunIncompleteError("Validation is void (planted).")

    monkeypatch.setattr(order_checks, "validate_lines", void)
    buy_all(road)
    (error,) = road.run_as_airflow()
    assert "void" in str(error)
    assert created(road) == []
    assert road.rows("select * from ops.blocker_episodes") == []


def test_only_its_order_waits_when_the_database_refuses_a_shipment(road: Road, admin_engine: Engine) -> None:
    buy_all(road)
    road.run_as_airflow()
    for number, one in enumerate(sorted([*SOUND, BAD])):
        road.sandbox.commerce.ship(one, None, [("ups", "UPS", f"1Z{number}")])
    plant(admin_engine, "core.shipment_items", bad=BAD.replace("-", "")[:12], column="amazon_item_id")
    road.shipments_run()
    assert confirmed(road) == SOUND
    assert road.shown(BAD).order_notes.startswith("Shipped in Commerce, but not confirmed to Amazon")
    assert "planted" not in road.shown(BAD).order_notes

    remove(admin_engine, "core.shipment_items")
    road.pass_time(minutes=10)
    road.shipments_run()
    assert confirmed(road) == sorted([*SOUND, BAD])
    assert not road.shown(BAD).order_notes.startswith("Shipped in Commerce, but not confirmed")


def test_only_its_order_waits_when_our_plan_of_a_package_fails(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    real = stage_commerce_shipments.plan_packages

    def plan_packages(shipment_id: str, units: dict[str, int], *arguments: Any, **options: Any) -> Any:
        if any(BAD.replace("-", "").startswith(item[:12]) for item in units):
            raise ValueError("planted")
        return real(shipment_id, units, *arguments, **options)

    buy_all(road)
    road.run_as_airflow()
    for number, one in enumerate(sorted([*SOUND, BAD])):
        road.sandbox.commerce.ship(one, None, [("ups", "UPS", f"1Z{number}")])
    monkeypatch.setattr(stage_commerce_shipments, "plan_packages", plan_packages)
    road.shipments_run()
    assert confirmed(road) == SOUND
    assert "(ValueError)" in road.shown(BAD).order_notes


def test_only_its_order_waits_when_our_preparation_of_its_creation_fails(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OrderCreation.document

    def document(creation: OrderCreation, *arguments: Any) -> Any:
        if creation.order_id == BAD:
            raise UnicodeEncodeError("utf-8", "planted", 0, 1, "planted")
        return real(creation, *arguments)

    monkeypatch.setattr(OrderCreation, "document", document)
    buy_all(road)
    assert road.run_as_airflow() == []
    assert created(road) == SOUND
    note = road.shown(BAD).order_notes
    assert note.startswith("Not created yet: UnicodeEncodeError while it was created.")
    assert "planted" not in note
    monkeypatch.undo()
    road.pass_time(minutes=10)
    road.run_as_airflow()
    assert created(road) == sorted([*SOUND, BAD])


def test_run_fails_when_our_preparation_of_every_creation_fails(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    def document(*_: Any) -> Any:
        raise KeyError("planted")

    monkeypatch.setattr(OrderCreation, "document", document)
    buy_all(road)
    with pytest.raises(KeyError):
        road.run_as_airflow()
    assert created(road) == []


def confirmed(road: Road) -> list[str]:
    found = sorted(body["orderId"] for body in road.sandbox.amazon.confirmations)
    assert len(found) == len(set(found))
    return found
