"""Orders, products, shops, marketplaces and accounts go bad and good again at random: what is sound is not delayed.

`make test` plays a few fixed schedules and a few fresh ones; `python -m bench random_schedules` plays thousands.
"""

from __future__ import annotations

import logging
import random

import pytest
from sqlalchemy import Engine

from local.sandbox.seeds import Scenario
from tests.support.random_world import open_roads, play

pytestmark = pytest.mark.usefixtures("plain_rules")

FIXED = range(3)
FRESH = [random.SystemRandom().randrange(1_000_000, 1_000_000_000) for _ in range(3)]


@pytest.mark.parametrize("seeds", [FIXED, FRESH], ids=["fixed", "fresh"])
def test_sound_orders_are_created_and_shown_within_two_runs_when_others_go_bad_at_random(
    engine: Engine, scenario: Scenario, seeds: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A failure names its schedule."""
    caplog.set_level(logging.CRITICAL)
    with open_roads(engine, scenario) as road:
        number = 1
        for seed in seeds:
            number = play(road, seed, number)
