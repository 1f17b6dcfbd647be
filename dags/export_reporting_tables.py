"""
**Does** — Exports the tables of `reporting` as Parquet files, for DuckDB, pandas and others. The param `folder` says
where to, by default `ORDERS_EXPORT_FOLDER`; `tables` limits it to some. In the folder, `latest` leads to the newest
complete export; the one before is kept for those who still read it. `docs/analysts.md` shows how to read the files.

**Reads** — `reporting`, as the role `analyst` (connection `orders_db_analyst`), all tables as of one moment.

**Writes** — Files in that folder, which the worker must be able to write.

**Schedule** — Only when somebody or something triggers it, for example once a day through Airflow's REST API. With
`dry_run` it counts the rows and writes nothing.

**Safe to re-run because** — Every run writes a complete new export; `latest` changes only when it is complete.

**When it fails** — The log says why. Readers see the previous export.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from include import steps
from include.resources import Resources
from include.retry_policy import dag_defaults

PARAMS = {
    "folder": Param(None, type=["null", "string"], description="Absolute path; default: ORDERS_EXPORT_FOLDER."),
    "tables": Param(
        None, type=["null", "array"], items={"type": "string"}, description="Tables of reporting; default: all."
    ),
    "dry_run": Param(False, type="boolean", description="Count the rows, and write nothing."),
}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=["reporting", "read-only"],
    **dag_defaults(),
)
def export_reporting_tables() -> None:
    @task
    def export_reporting_tables() -> dict[str, int]:
        """Writes the tables as Parquet files, all of them or none."""
        with Resources() as use:
            request = steps.export_reporting_tables.read_request(use.params, use.settings)
            is_dry_run, analyst = use.params["dry_run"], use.database("orders_db_analyst")
            return steps.export_reporting_tables.run(analyst, request, is_dry_run=is_dry_run, **use.run)

    export_reporting_tables()


export_reporting_tables()
