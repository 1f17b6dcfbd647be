"""The commands of docs/upgrade-and-backup.md back up a database and bring it back; no order is created twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL, text

from include.database.check import check_database
from include.database.engine import make_engine
from local.postgres_install import Account, binaries_for
from tests.support.road import Road

CHECKOUT = Path(__file__).parents[2]
GUIDE = (CHECKOUT / "docs" / "upgrade-and-backup.md").read_text(encoding="utf-8")
RUNBOOK = (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8")
BEFORE, AFTER = "902-0000001-0000001", "902-0000002-0000002"


def commands(words: str) -> str:
    """The one block of shell commands in the guide that contains `words`."""
    (found,) = [block for block in re.findall(r"^ *```bash\n(.*?)^ *```$", GUIDE, re.M | re.S) if words in block]
    return str(found)


@pytest.fixture
def restored(database_url: URL) -> Iterator[URL]:
    """Where the guide restores this database to, as the DAGs' role; dropped at the end."""
    name = f"{database_url.database}_restored"
    yield database_url.set(database=name, username="orders_rw")
    admin = make_engine(database_url, application_name="tests").execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"drop database if exists {name} with (force)"))


def run(script: str, database_url: URL, folder: Path) -> None:
    """Run commands of the guide with this database in the place of the example."""
    database, socket = str(database_url.database), str(database_url.query["host"])
    script = re.sub(r"^export PGURL=.*$", "", script, flags=re.M).replace("orders_restored", f"{database}_restored")
    tools = binaries_for(folder, Account("", os.getuid(), os.getgid(), is_other=False))
    environment = os.environ | {
        "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        # A socket instead of the example's host: PGHOST completes the address.
        "PGURL": f"postgresql:///{database}",
        "PGHOST": socket,
        "PGUSER": str(database_url.username),
        "PYTHONPATH": str(CHECKOUT),
    }
    ended = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_nothing_is_lost_or_created_twice_when_a_backup_is_restored(
    road: Road, database_url: URL, restored: URL, tmp_path: Path
) -> None:
    road.buy(BEFORE, {"TRAY-WALNUT": 1})
    road.next_run()
    at_backup = datetime.now(UTC)
    before = road.dump()
    run(commands("pg_dump --format=custom --no-owner --no-privileges --file"), database_url, tmp_path)
    road.buy(AFTER, {"TRAY-WALNUT": 1})
    road.next_run()
    assert len(road.sandbox.commerce.orders()) == 2

    run(commands("pg_restore"), database_url, tmp_path)
    run(commands("include.database migrate"), database_url, tmp_path)
    engine = make_engine(restored, application_name="tests", is_pooled=True)
    try:
        for name, role in (("orders_db", "orders_rw"), ("orders_db_ui", "orders_ui")):
            with make_engine(restored.set(username=role), application_name="tests").connect() as connection:
                assert check_database(connection, name).problems == []
        with replace(road, engine=engine) as again:
            assert again.dump() == before
            (statement,) = re.findall(
                r"^```sql\n(-- as orders_rw\nupdate ops.ingest_windows.*?)^```$", RUNBOOK, re.M | re.S
            )
            with engine.begin() as connection:
                connection.exec_driver_sql(statement.replace("2026-11-01T00:00:00Z", at_backup.isoformat()))
            again.next_run()
            linked = again.rows("select amazon_order_id, state from ops.order_outbox order by amazon_order_id")
            assert [tuple(row) for row in linked] == [(BEFORE, "created"), (AFTER, "adopted")]
            assert len(again.sandbox.commerce.orders()) == 2
    finally:
        engine.dispose()
