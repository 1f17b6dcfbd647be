"""
**Does** — Checks the whole installation before it goes live, and whenever something in it has changed: one line in the
log per finding, with what to do about each problem.

**Reads** — `stores.yaml`; the connections; Amazon's token endpoint and one row of each account's order listing; each
shop's rights, store views, currencies and clock; the databases, their version and roles; the keys for personal data.

**Writes** — Nothing at Amazon or in a shop. Its requests are counted in `ops.api_calls` and `ops.rate_limits`.

**Schedule** — Only when somebody triggers it. With `dry_run` it asks neither Amazon nor a shop.

**Safe to re-run because** — It changes nothing. For the rights to write, it sends requests that every shop refuses:
without content, or about order 0, which does not exist.

**When it fails** — Something is wrong: each line with `PROBLEM` in the log says what, and what to do. `make check` and
`python -m include check` do the same from a shell, and check Airflow's pools, too. See `docs/going-live.md`.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from include import steps
from include.resources import Resources, utc_now
from include.retry_policy import dag_defaults

PARAMS = {"dry_run": Param(False, type="boolean", description="Ask neither Amazon nor a shop.")}


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=["maintenance", "read-only"],
    **dag_defaults(),
)
def check_setup() -> None:
    @task
    def check_setup() -> dict[str, int]:
        """Logs one finding per line; fails when one of them is a problem."""
        with Resources() as use:
            return steps.check_setup.run(use, clock=utc_now, is_dry_run=use.params["dry_run"])

    check_setup()


check_setup()
