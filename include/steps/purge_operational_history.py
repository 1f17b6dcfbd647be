"""Deletes what the operational tables have kept long enough; of requests the sums per hour stay."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from include.database.locks import autocommit, try_lock
from include.database.statements import load_statements
from include.outbox.work_loop import summary
from include.settings import Settings

log = logging.getLogger(__name__)

# Small enough that a batch is over in a moment, and so is the lock on its rows.
_BATCH_SIZE = 10_000


def run(engine: Engine, settings: Settings, *, now: datetime, batch_size: int = _BATCH_SIZE) -> dict[str, int]:
    """Delete, batch by batch, what is older than its retention. Returns the number of deleted rows by table.

    Each batch is a transaction of its own: a run that was ended in the middle is continued by the next. Beside a second
    copy, one works and the other returns at once. Only writer of ops.api_calls_hourly.
    """
    statements = load_statements(__file__)
    retentions = {
        "api_calls": settings.api_calls_retention,
        "api_calls_hourly": settings.api_calls_hourly_retention,
        "ingest_windows": settings.ingest_retention,
        "dag_runs": settings.ingest_retention,
        "validation_results": settings.validation_retention,
        "dry_run_results": settings.validation_retention,
        "replay_differences": settings.validation_retention,
        "bad_addresses": settings.validation_retention,
    }
    counts = dict.fromkeys(retentions, 0)
    with autocommit(engine) as session, try_lock(session, "purge_operational_history") as got:
        if not got:
            return counts
        for table, retention in retentions.items():
            values: dict[str, Any] = {"before": now - retention, "batch_size": batch_size}
            while True:
                with engine.begin() as connection:
                    deleted = int(connection.execute(statements[table], values).scalar_one())
                counts[table] += deleted
                if deleted < batch_size:
                    break
    log.info("purge_operational_history: %s", summary(counts))
    return counts
