"""Engines of the orders database."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event
from sqlalchemy.pool import NullPool

from include.domain.errors import MisconfiguredError


def make_engine(url: URL | str, *, application_name: str, statement_timeout: timedelta | None = None) -> Engine:
    """An engine without a pool (tasks are short-lived processes), in UTC. `url` has the driver `postgresql+psycopg`."""
    options = "-c timezone=UTC"
    if statement_timeout is not None:
        options += f" -c statement_timeout={int(statement_timeout.total_seconds() * 1000)}"
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,  # values never stand in an error's text
        connect_args={"application_name": application_name, "connect_timeout": 10, "options": options},
    )
    event.listen(engine, "handle_error", _say_what_to_do)
    return engine


def _say_what_to_do(context: ExceptionContext) -> None:
    """Add to the error of a database that cannot be reached what to do; its type stays as it is."""
    error = context.sqlalchemy_exception
    if context.connection is None and error is not None:
        error.args = (
            f"The orders database cannot be reached: {str(context.original_exception).strip()}\nResolution: check that "
            "PostgreSQL runs, and the Airflow connection of this database (docs/configuration.md); nothing is lost.",
        )


def check_version(server_version: int) -> None:
    """Refuse a server older than PostgreSQL 15. `server_version` is PostgreSQL's server_version_num."""
    if server_version < 150000:
        raise MisconfiguredError(
            f"The orders database is PostgreSQL {server_version // 10000}. Resolution: use 15 or newer."
        )
