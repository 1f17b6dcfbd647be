"""The story of `make demo` begins in the past, and everything in it is over before real time is reached."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from local import story
from local.sandbox import scenario

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def test_nothing_is_in_the_future_when_the_story_ends() -> None:
    seeds = scenario.build(START)
    moments = [datetime.fromisoformat(seed.order["createdTime"]) for seed in seeds.orders]
    moments += [change.at for seed in seeds.orders for change in seed.changes]
    moments += [change.at for change in seeds.commerce.catalog_changes]
    moments += [action.at for action in seeds.commerce.warehouse]
    assert max(moments) > START
    # The last step but one reads all of it; its window of Amazon's listing ends three minutes before the clock.
    assert max(moments) < START + timedelta(minutes=story.STARTS_MINUTES_AGO - story.STEPS[-2].minutes_ago - 3)


def test_clock_only_goes_forward_when_the_steps_are_played() -> None:
    minutes = [step.minutes_ago for step in story.STEPS]
    assert minutes == sorted(minutes, reverse=True)
    assert (minutes[0], minutes[-1]) == (story.STARTS_MINUTES_AGO, 0)
