"""Reads the params of DAG runs that people trigger; a wrong one is refused with its name and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from include.domain.errors import MisconfiguredError


def moment_param(params: Mapping[str, Any], name: str) -> datetime | None:
    """A time, aware, UTC; one without a zone is taken as UTC. None if it is empty."""
    value = params.get(name)
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise refused_param(name, f"is {value!r}", "use a time such as 2026-01-31T00:00:00Z") from None


def texts_param(params: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts; empty if there is none."""
    value = params.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
        raise refused_param(name, "is no list of texts", 'give a list such as ["one", "two"]')
    return [each.strip() for each in value]


def refused_param(name: str, what: str, remedy: str) -> MisconfiguredError:
    """The error for the param `name`."""
    return MisconfiguredError(f"The param {name} {what}. Resolution: {remedy}.")
