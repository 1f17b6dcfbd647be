"""
**Does** — Loads exchange rates from CSV, for stores that convert orders (`currency: convert` in `stores.yaml`). The
param `csv` is the text itself: the line `rate_date,from_currency,to_currency,rate,source`, then one line for each day
and pair, such as `2026-11-02,EUR,USD,1.0834,ECB`: one euro is 1.0834 dollars.

**Reads** — The param `csv`.

**Writes** — `reporting.exchange_rates`. Orders that Commerce has already keep the rate that they were converted with.

**Schedule** — Only when somebody or something triggers it, for example once a day through Airflow's REST API. With
`dry_run` it checks the lines and writes nothing.

**Safe to re-run because** — A rate that is there already is replaced only if it differs.

**When it fails** — The log says which lines are wrong, and why. Then nothing of the CSV was loaded.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from include import steps
from include.resources import Resources
from include.retry_policy import dag_defaults

PARAMS = {
    "csv": Param(None, type=["null", "string"], format="multiline", description="rate_date,from_currency,..."),
    "dry_run": Param(False, type="boolean", description="Check the lines, and write nothing."),
}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=["maintenance"],
    **dag_defaults(),
)
def load_exchange_rates() -> None:
    @task
    def load_exchange_rates() -> dict[str, int]:
        """Checks every line, and stores all rates or none."""
        with Resources() as use:
            rates = steps.load_exchange_rates.read_rates(use.params, now=use.run["now"])
            is_dry_run = use.params["dry_run"]
            return steps.load_exchange_rates.run(use.engine, rates, is_dry_run=is_dry_run, **use.run)

    load_exchange_rates()


load_exchange_rates()
