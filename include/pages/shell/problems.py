"""Pages that stand where a page cannot: what is wrong and what to do, and never that there are no orders."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import psycopg
from sqlalchemy.exc import DBAPIError

from include.domain.errors import MisconfiguredError


@dataclass(frozen=True)
class Problem:
    """One such page and its HTTP status; `sign_in` is what its link to Airflow's sign-in reads, if it has one."""

    status: HTTPStatus
    title: str
    what: str
    remedy: str
    sign_in: str = ""


BAD_LINK = Problem(
    HTTPStatus.BAD_REQUEST,
    "This link does not work",
    "The page's address is incomplete or has been changed.",
    "Open the page again from Airflow's navigation.",
)

_REFUSALS: dict[int, Problem] = {
    problem.status: problem
    for problem in (
        BAD_LINK,
        Problem(
            HTTPStatus.UNAUTHORIZED,
            "You are not signed in",
            "Only users who are signed in to Airflow can see orders.",
            "Sign in to Airflow, then open the page again.",
            sign_in="Sign in to Airflow",
        ),
        Problem(
            HTTPStatus.FORBIDDEN,
            "You do not have access to orders",
            "Orders are visible to users who can read the runs of the DAG amazon_orders_to_commerce.",
            "Sign in again, as a user who has that permission, or ask your Airflow administrator for it.",
            sign_in="Sign in again",
        ),
        Problem(
            HTTPStatus.NOT_FOUND,
            "This page does not exist",
            "There is no page at this address.",
            "Open the page again from Airflow's navigation.",
        ),
        Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Orders are not available",
            "This version of Airflow lacks the access check that these pages rely on, so nobody is let in.",
            "Ask your Airflow administrator to check the API server's log.",
        ),
    )
}


def refusal(status_code: int) -> Problem:
    """The page for a request that was refused with `status_code`."""
    known = _REFUSALS.get(status_code)
    return known or Problem(HTTPStatus(status_code), "This request is not supported", BAD_LINK.what, BAD_LINK.remedy)


def setup_problem(error: MisconfiguredError) -> Problem:
    """The page for a setting or connection that is missing or wrong; the error names it and its resolution."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Orders are not set up",
        "A setting or connection that this page needs is missing or invalid.",
        str(error),
    )


def database_problem(error: DBAPIError) -> Problem:
    """The page for a database that is too slow, not migrated, or unreachable."""
    if isinstance(error.orig, psycopg.errors.QueryCanceled):
        title = "The orders database is too slow"
        what = "It did not answer within the time limit of a page."
        remedy = (
            "Try again in a minute. If the problem persists, ask your Airflow administrator to check the load of the "
            "orders database, or to raise ORDERS_STATEMENT_TIMEOUT_SECONDS."
        )
    elif isinstance(error.orig, psycopg.ProgrammingError):
        title = "The orders database is not ready"
        what = "It is running, but this page's tables are missing or cannot be read."
        remedy = (
            "Ask your Airflow administrator to migrate the orders database (make migrate) and to check the connection "
            "orders_db_ui."
        )
    else:
        title = "The orders database is not available"
        what = "Orders cannot be shown at the moment; nothing is lost."
        remedy = (
            "Try again in a minute. If the problem persists, ask your Airflow administrator to check the connection "
            "orders_db_ui and the API server's log."
        )
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, title, what, remedy)
