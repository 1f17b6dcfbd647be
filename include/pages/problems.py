"""Pages that stand where the table cannot: what is wrong and what to do, and never that there are no orders."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import psycopg
from sqlalchemy.exc import DBAPIError

from include.domain.errors import MisconfiguredError


@dataclass(frozen=True)
class Problem:
    """One such page and its HTTP status."""

    status: HTTPStatus
    title: str
    what: str
    remedy: str


BAD_LINK = Problem(
    HTTPStatus.BAD_REQUEST,
    "This link does not work",
    "The address of the page is incomplete or was changed.",
    "Open Recent Orders again from Airflow's navigation.",
)

REFUSALS: dict[int, Problem] = {
    problem.status: problem
    for problem in (
        BAD_LINK,
        Problem(
            HTTPStatus.UNAUTHORIZED,
            "You are not signed in",
            "Recent Orders is for signed-in users of Airflow.",
            "Sign in to Airflow, then open Recent Orders again.",
        ),
        Problem(
            HTTPStatus.FORBIDDEN,
            "You may not see orders",
            "Recent Orders is for users who may read the runs of the DAG amazon_orders_to_commerce.",
            "Ask whoever runs Airflow for that right.",
        ),
        Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Recent Orders is switched off",
            "Who may see this page cannot be checked with this version of Airflow, so nobody may.",
            "Ask whoever runs Airflow to look at the log of the API server.",
        ),
    )
}


def setup_problem(error: MisconfiguredError) -> Problem:
    """The page for a setting or connection that is missing or wrong; the error says which, and its resolution."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Recent Orders is not set up",
        "A setting or connection that this page needs is missing or wrong.",
        str(error),
    )


def database_problem(error: DBAPIError) -> Problem:
    """The page for a database that is too slow, not migrated, or away."""
    if isinstance(error.orig, psycopg.errors.QueryCanceled):
        title = "The orders database is too slow"
        what = "It did not answer within the time that a page may take."
        remedy = (
            "Try again in a minute. If it stays so, ask whoever runs Airflow to look at the load of the orders "
            "database, or to raise ORDERS_STATEMENT_TIMEOUT_SECONDS."
        )
    elif isinstance(error.orig, psycopg.ProgrammingError):
        title = "The orders database is not ready"
        what = "It answers, but lacks the tables of this page or the right to read them."
        remedy = (
            "Ask whoever runs Airflow to migrate the orders database (make migrate) and to check the connection "
            "orders_db_ui."
        )
    else:
        title = "The orders database does not answer"
        what = "Orders cannot be shown at the moment; none are lost by that."
        remedy = (
            "Try again in a minute. If it stays so, ask whoever runs Airflow to check the connection orders_db_ui and "
            "the log of the API server."
        )
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, title, what, remedy)
