"""`python -m include.database migrate`: brings the orders database to the current version.

It connects as an administrator: with the address in ORDERS_DB_ADMIN_URL if it is set, else with the Airflow connection
`orders_db`, which then needs the rights to create schemas and roles.
"""

from __future__ import annotations

import logging
import sys

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

from include.database.engine import make_engine
from include.database.migrate import migrate
from include.domain.errors import MisconfiguredError, UnavailableError
from include.settings import Settings


def main(arguments: list[str]) -> int:
    """Run the command and return its exit status; what went wrong is printed on stderr."""
    if arguments != ["migrate"]:
        print("usage: python -m include.database migrate", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        migrate(make_engine(_address(), application_name="orders_migrate"))
    except (MisconfiguredError, UnavailableError, OperationalError, ProgrammingError) as error:
        cause = getattr(error, "orig", None) or error
        print(f"The orders database was not migrated: {str(cause).strip()}", file=sys.stderr)
        print("Resolution: check ORDERS_DB_ADMIN_URL, or the Airflow connection orders_db.", file=sys.stderr)
        return 1
    print("The orders database is up to date.")
    return 0


def _address() -> URL:
    address = Settings.from_environment().db_admin_url
    if not address:
        from include.connections import database_url

        return database_url("orders_db")
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        # It holds a password: not even its text may be shown.
        raise MisconfiguredError(
            "ORDERS_DB_ADMIN_URL is not an address such as postgresql+psycopg://admin@db.example.com/orders."
        )
    return url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
