"""Which carrier Amazon gets: from the lists of carriers.yaml and of the store, else Other with a warning."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from include.domain.carriers import Carrier
from include.domain.stores import Stores
from tests.support.road import Road
from tests.support.shipping import ONE, TWO, at_amazon, create, packages, ship, tell_amazon

pytestmark = pytest.mark.usefixtures("plain_rules")


@pytest.fixture
def road(road: Road) -> Road:
    road.with_account("acme-na")
    return road


def test_the_warning_names_the_file_once_when_a_carrier_is_in_no_list(
    road: Road, caplog: pytest.LogCaptureFixture
) -> None:
    create(road, {"TRAY-WALNUT": 1})
    create(road, {"DOORMAT-COIR": 1}, TWO)
    ship(road, ("custom", "Bike courier", "B-1"))
    ship(road, ("custom", "Bike courier", "B-2"), one=TWO)
    with caplog.at_level(logging.WARNING, "include.steps.stage_commerce_shipments"):
        tell_amazon(road)

    (warning,) = [record.getMessage() for record in caplog.records if "in no list" in record.getMessage()]
    assert "'Bike courier'" in warning
    assert warning.count("carriers.yaml") == 1
    (package,) = packages(road)
    assert (package.state, package.carrier_code, package.carrier_name) == ("accepted", "Other", "Bike courier")


def test_the_stores_own_carrier_is_sent_when_it_has_one(road: Road, caplog: pytest.LogCaptureFixture) -> None:
    (account,) = road.stores.accounts
    own = {"ups": Carrier("UPS", method="UPS Ground"), "bike*": Carrier("Other", "Bike Co")}
    stores = tuple(replace(store, carriers=own) if store.name == "Acme US" else store for store in account.stores)
    road.stores = Stores((replace(account, stores=stores),))
    (first,) = create(road, {"TRAY-WALNUT": 2})
    ship(road, ("ups", "UPS", "1Z1"))
    create(road, {"DOORMAT-COIR": 1}, TWO)
    ship(road, ("custom", "Bike courier", "B-1"), one=TWO)
    with caplog.at_level(logging.WARNING, "include.steps.stage_commerce_shipments"):
        tell_amazon(road)

    assert at_amazon(road) == {"1": ("UPS", "1Z1", {first: 2})}
    assert [package.shipping_method for package in packages(road)] == ["UPS Ground"]
    assert [(package.carrier_code, package.carrier_name) for package in packages(road, TWO)] == [("Other", "Bike Co")]
    sent = {one["orderId"]: one["packageDetail"] for one in road.sandbox.amazon.confirmations}
    assert (sent[ONE]["shippingMethod"], sent[TWO]["carrierName"]) == ("UPS Ground", "Bike Co")
    assert "in no list" not in caplog.text
