"""Says what is stopped, for the person who decides; refuses a request about writes that are not stopped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from include.outbox.hold_decisions import decided_before, nothing_stopped, open_holds, read_request
from include.settings import Settings

log = logging.getLogger(__name__)


def run(engine: Engine, params: Mapping[str, Any], settings: Settings, *, dag_run_id: str) -> str:
    """The stopped writes that the params name, as Markdown: store, reason, and how many orders wait.

    Raises MisconfiguredError when a param is wrong or nothing is stopped, unless this DAG run has decided it.
    """
    request = read_request(params)
    with engine.connect() as connection:
        holds = open_holds(connection, request)
        if not holds and not decided_before(connection, dag_run_id):
            raise nothing_stopped(request)
    lines = [_line(hold.store_name, hold.reason, hold.waiting_count, hold.order_ids) for hold in holds]
    for line in lines:
        log.info("describe_held_writes: %s stopped: %s", request.kind, line)
    hours = settings.approval_validity.total_seconds() / 3600
    return "\n".join(
        [
            f"Writes of the kind *{request.kind}* to Commerce are stopped:",
            "",
            *(f"- {line}" for line in lines),
            "",
            f"**Approve**: they go on with the next run, and no such writes are stopped again for {hours:g} hours. "
            "**Decline**: they stay stopped; they can be approved later.",
        ]
    )


def _line(store_name: str, reason: str, waiting_count: int, order_ids: list[str] | None) -> str:
    noun = "order waits" if waiting_count == 1 else "orders wait"
    scope = " (only these; the others of the store go on)" if order_ids is not None else ""
    return f"**{store_name}**: {reason} {waiting_count} {noun}{scope}."
