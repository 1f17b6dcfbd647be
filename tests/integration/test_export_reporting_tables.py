"""The Parquet export: every value as it is in the database, a whole export or the previous one, nothing of a person."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import psycopg
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import URL, Engine, text

from include.database import parquet as writing
from include.database.engine import make_engine
from include.domain.errors import MisconfiguredError, UnavailableError
from include.settings import Settings
from include.steps import export_reporting_tables as step
from tests.support.road import Road
from tests.support.waiting import PATIENCE_SECONDS, wait_until

CHECKOUT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
RATES = (
    "insert into reporting.exchange_rates"
    " select 'EUR', 'USD', date '2020-01-01' + day, 1.25, 'ECB, \"daily\"\nfix', now(), ''"
    " from generate_series(1, :rows) as day"
)
LINE = (
    "insert into reporting.fct_order_items (amazon_order_id, amazon_item_id, store_name, purchased_at, purchased_on,"
    " line_number, seller_sku, currency_code, item_amount, loaded_at, dag_run_id)"
    " values (:number, '1', 'Acme', '2026-01-01', :day, 1, '', :currency, :amount, now(), '')"
)
# Day of purchase, currency and amount: floats would not add up to these sums.
LINES = [
    ("2025-11-30", "USD", "0.10"),
    ("2025-12-01", "USD", "0.20"),
    ("2025-12-31", "USD", "1234567890123456.7891"),
    ("2025-12-31", "EUR", None),
    ("2026-11-01", "EUR", "0.70"),
]
EXPORT = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from include.database.engine import make_engine
from include.settings import Settings
from include.steps import export_reporting_tables as step
request = step.read_request({"folder": sys.argv[2]}, Settings())
step.run(make_engine(sys.argv[1], application_name="export"), request, is_dry_run=False,
         now=datetime.now(UTC), dag_run_id="killed")
"""


@pytest.fixture
def analyst(database_url: URL) -> Engine:
    return make_engine(database_url.set(username="analyst"), application_name="export")


def export(analyst: Engine, folder: Path, *tables: str, later: int = 0, is_dry_run: bool = False) -> dict[str, int]:
    request = step.read_request({"folder": str(folder), "tables": list(tables)}, Settings())
    now = NOW + timedelta(seconds=later)
    return step.run(analyst, request, is_dry_run=is_dry_run, now=now, dag_run_id="manual__1")


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    """All rows of the files of a table, as they are stored."""
    files = sorted((folder / "latest" / table).rglob("*.parquet"))
    assert files, table
    return [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]


def add_rates(engine: Engine, rows: int) -> None:
    with engine.begin() as connection:
        connection.execute(text("delete from reporting.exchange_rates"))
        connection.execute(text(RATES), {"rows": rows})


def add_lines(engine: Engine) -> None:
    with engine.begin() as connection:
        for number, (day, currency, amount) in enumerate(LINES):
            values = {"number": str(number), "day": day, "currency": currency, "amount": amount}
            connection.execute(text(LINE), values)


def trade(road: Road) -> None:
    road.orders_run()
    road.shipments_run()
    road.pass_time(minutes=30)
    road.orders_run()
    road.shipments_run()
    add_rates(road.engine, 3)


def test_every_value_is_exact_when_the_whole_scenario_is_exported(
    full_road: Road, analyst: Engine, tmp_path: Path
) -> None:
    trade(full_road)
    counts = export(analyst, tmp_path)
    tables = writing.reporting_tables()
    assert counts["tables"] == len(tables)
    seen = 0
    for name in tables:
        wanted = [dict(row._mapping) for row in full_road.rows(f"select * from reporting.{name}")]
        found = rows_of(tmp_path, name)
        assert sorted(map(repr, _plain(found))) == sorted(map(repr, _plain(wanted))), name
        seen += len(found)
    assert counts["rows"] == seen > 100
    content = json.loads((tmp_path / "latest" / "export.json").read_text(encoding="utf-8"))["tables"]
    assert content["fct_orders"]["rows"] == full_road.value("select count(*) from reporting.fct_orders")


def _plain(rows: list[dict[str, Any]]) -> list[list[tuple[str, object]]]:
    """Rows with times in one zone, whatever object stands for it; all else stays as it is."""
    return [
        [(name, value.astimezone(UTC) if isinstance(value, datetime) else value) for name, value in row.items()]
        for row in rows
    ]


def test_types_are_exact_when_the_files_are_opened(analyst: Engine, tmp_path: Path) -> None:
    export(analyst, tmp_path)
    schema = parquet.read_schema(tmp_path / "latest" / "fct_orders" / "part-0.parquet")
    assert schema.field("grand_total_amount").type == pa.decimal128(20, 4)
    assert schema.field("purchased_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("purchased_on").type == pa.date32()
    assert schema.field("programs").type == pa.list_(pa.string())
    assert schema.field("item_count").type == pa.int32()
    rates = parquet.read_schema(tmp_path / "latest" / "exchange_rates" / "part-0.parquet")
    assert rates.field("rate").type == pa.decimal128(20, 10)


def test_pandas_adds_up_to_the_database_when_it_reads_the_export(
    engine: Engine, analyst: Engine, tmp_path: Path
) -> None:
    add_lines(engine)
    export(analyst, tmp_path)
    frame = pandas.read_parquet(tmp_path / "latest" / "fct_order_items")
    december = frame[(frame.purchase_month == "2025-12") & (frame.currency_code == "USD")]
    assert sum(december.item_amount, Decimal(0)) == Decimal("1234567890123456.9891")
    assert frame.item_amount.isna().sum() == 1


def test_duckdb_adds_up_to_the_database_when_it_reads_the_export(
    engine: Engine, analyst: Engine, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb")
    add_lines(engine)
    export(analyst, tmp_path)
    files = f"read_parquet('{tmp_path}/latest/fct_order_items/**/*.parquet', hive_partitioning = true)"
    sums = "currency_code, sum(item_amount), count(*)"
    found = duckdb.sql(f"select purchase_month, {sums} from {files} group by 1, 2 order by 1, 2").fetchall()
    months = "select to_char(purchased_on, 'YYYY-MM'), "
    with engine.connect() as connection:
        wanted = connection.execute(
            text(f"{months} {sums} from reporting.fct_order_items group by 1, 2 order by 1, 2")
        ).all()
    assert found == [tuple(row) for row in wanted]
    assert len(found) == 4


@pytest.mark.parametrize("library", ["duckdb", "pandas"])
def test_example_shows_the_sums_when_it_is_run_as_documented(
    library: str, engine: Engine, analyst: Engine, tmp_path: Path
) -> None:
    pytest.importorskip(library)
    add_lines(engine)
    export(analyst, tmp_path)
    examples = (CHECKOUT / "docs" / "analysts.md").read_text(encoding="utf-8").split("```python\n")[1:]
    (example,) = [found.partition("```")[0] for found in examples if f"import {library}" in found]
    # The rows are lines here, which have the same columns.
    example = example.replace("/srv/orders", str(tmp_path)).replace("fct_orders", "fct_order_items")
    shown = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True).stdout
    assert "1234567890123456.9891" in shown and "2026-11" in shown


def test_files_are_those_of_the_marketplaces_months_when_orders_span_a_year(
    engine: Engine, analyst: Engine, tmp_path: Path
) -> None:
    add_lines(engine)
    assert export(analyst, tmp_path, "fct_order_items") == {"tables": 1, "rows": 5}
    files = {
        file.parent.name: parquet.ParquetFile(file).metadata.num_rows
        for file in (tmp_path / "latest" / "fct_order_items").rglob("*.parquet")
    }
    assert files == {"purchase_month=2025-11": 1, "purchase_month=2025-12": 3, "purchase_month=2026-11": 1}
    assert {row["seller_sku"] for row in rows_of(tmp_path, "fct_order_items")} == {""}, "empty is not null"


def test_one_group_of_rows_is_in_memory_when_a_table_is_large(
    engine: Engine, analyst: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rates(engine, 2500)
    monkeypatch.setattr(writing, "ROWS_AT_ONCE", 1000)
    export(analyst, tmp_path, "exchange_rates")
    groups = parquet.ParquetFile(tmp_path / "latest" / "exchange_rates" / "part-0.parquet").metadata
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [1000, 1000, 500]


def _killed_export(database_url: URL, folder: Path, admin_engine: Engine, meanwhile: Callable[[], None]) -> None:
    """An export that is killed before its last table, after it has written files. `meanwhile` runs before the kill."""
    last = list(writing.reporting_tables())[-1]
    url = database_url.set(username="analyst").render_as_string(hide_password=False)
    with admin_engine.connect() as blocker:
        blocker.execute(text(f"lock table reporting.{last} in access exclusive mode"))
        process = subprocess.Popen([sys.executable, "-c", EXPORT, url, str(folder)], cwd=CHECKOUT)
        try:
            waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
            with admin_engine.connect() as watcher:
                watcher = watcher.execution_options(isolation_level="AUTOCOMMIT")
                wait_until(
                    lambda: watcher.scalar(waiting) or process.poll() is not None,
                    "the export to come to the last table",
                )
            assert process.poll() is None, "the export ended before it was killed"
            meanwhile()
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_SECONDS)


def test_previous_export_is_whole_when_another_is_at_work_and_killed(
    engine: Engine, admin_engine: Engine, analyst: Engine, database_url: URL, tmp_path: Path
) -> None:
    add_rates(engine, 3)
    export(analyst, tmp_path)
    first = os.readlink(tmp_path / "latest")
    files = sorted((tmp_path / "latest").resolve().rglob("*"))
    add_rates(engine, 7)

    def look() -> None:
        assert list((tmp_path / ".unfinished").rglob("*.parquet")), "the other one has begun"
        assert len(rows_of(tmp_path, "exchange_rates")) == 3
        with pytest.raises(UnavailableError, match="Another export writes to"):
            export(analyst, tmp_path)

    _killed_export(database_url, tmp_path, admin_engine, look)
    assert os.readlink(tmp_path / "latest") == first
    assert sorted((tmp_path / "latest").resolve().rglob("*")) == files
    assert len(rows_of(tmp_path, "exchange_rates")) == 3

    export(analyst, tmp_path, later=1)
    assert len(rows_of(tmp_path, "exchange_rates")) == 7
    assert not (tmp_path / ".unfinished").exists()


def test_only_the_export_before_is_kept_when_there_are_more(engine: Engine, analyst: Engine, tmp_path: Path) -> None:
    (tmp_path / "of somebody else").mkdir()
    names = []
    for number in range(4):
        export(analyst, tmp_path, "dim_stores", later=number // 2)  # twice in the same second
        names.append(os.readlink(tmp_path / "latest"))
    assert len(set(names)) == 4
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"latest", ".lock", "of somebody else", *names[-2:]}


def test_other_tables_stay_when_only_one_is_exported_again(engine: Engine, analyst: Engine, tmp_path: Path) -> None:
    add_rates(engine, 3)
    export(analyst, tmp_path)
    add_rates(engine, 5)
    assert export(analyst, tmp_path, "dim_stores", later=1) == {"tables": 1, "rows": 0}
    assert len(rows_of(tmp_path, "exchange_rates")) == 3
    content = json.loads((tmp_path / "latest" / "export.json").read_text(encoding="utf-8"))["tables"]
    assert set(content) == set(writing.reporting_tables())
    assert content["dim_stores"]["exported_at"] > content["exchange_rates"]["exported_at"]


def test_nothing_is_written_when_it_is_a_dry_run(engine: Engine, analyst: Engine, tmp_path: Path) -> None:
    add_rates(engine, 3)
    folder = tmp_path / "exports"
    assert export(analyst, folder, "exchange_rates", is_dry_run=True) == {"tables": 1, "rows": 3}
    assert not folder.exists()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"folder": "exports"}, "'exports' is not an absolute path"),
        ({"folder": "/exports", "tables": ["fct_orders", "order_contacts"]}, "names order_contacts. Resolution: use"),
        ({"folder": "/exports", "tables": ["daily_sales"]}, "The param tables names daily_sales"),
    ],
)
def test_request_is_refused_when_a_param_is_wrong(params: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfiguredError, match=message):
        step.read_request(params, Settings())


def test_folder_is_left_alone_when_latest_is_not_ours(analyst: Engine, tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "precious").touch()
    with pytest.raises(MisconfiguredError, match="is not a link of an export"):
        export(analyst, tmp_path)
    assert (tmp_path / "latest" / "precious").exists()


def test_folder_is_named_when_it_cannot_be_written(analyst: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"The folder .*file/exports cannot be written: .* Resolution: check"):
        export(analyst, tmp_path / "file" / "exports")


def test_nothing_but_reporting_can_be_read_when_a_table_of_another_schema_gets_in(
    analyst: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role guards what gets out, not only the list of tables."""
    known = writing.reporting_tables()
    other = next(table for table in writing.tables.metadata.sorted_tables if table.fullname == "core.sku_map")
    monkeypatch.setattr(step, "reporting_tables", lambda: {**known, "sku_map": other})
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        export(analyst, tmp_path, "sku_map")
    assert not (tmp_path / "latest").exists()
