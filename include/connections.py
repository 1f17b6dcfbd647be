"""Reads Airflow's connections into typed settings, checked, with an error that says what is missing and where."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from pydantic import BaseModel, ConfigDict, Field

from include.domain.errors import MisconfiguredError
from include.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine


class AmazonConnection(BaseModel):
    """Where one seller's Selling Partner API is and how we sign in: an Airflow connection of type http."""

    # Other tools may keep keys of their own in the same connection.
    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: str
    token_url: str
    client_id: str
    client_secret: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    seller_id: str
    region: str


class CommerceConnection(BaseModel):
    """Where one shop's REST API is and how we sign in: an Airflow connection of type http."""

    model_config = ConfigDict(frozen=True)

    host: str
    edition: Literal["paas", "saas"]
    admin_url: str | None
    extra: dict[str, str] = Field(repr=False)  # the keys of its kind of sign-in, see adapters/commerce/auth.py


def amazon_connection(name: str) -> AmazonConnection:
    """The connection `name` of a seller. Raises MisconfiguredError that names missing keys, never their values."""
    connection = _connection(name)
    extra = _extra(connection)
    keys = [key for key in AmazonConnection.model_fields if key != "endpoint"]
    missing = [key for key in keys if not extra.get(key)]
    if missing:
        raise MisconfiguredError(
            f"Airflow connection {name!r} lacks {', '.join(missing)} in its extra. Resolution: add them; "
            "docs/configuration.md shows its shape."
        )
    return AmazonConnection(endpoint=_url(connection), **{key: str(extra[key]) for key in keys})


def commerce_connection(name: str) -> CommerceConnection:
    """The connection `name` of a shop. Raises MisconfiguredError for one that is not there or of unknown edition."""
    connection = _connection(name)
    extra = _extra(connection)
    edition: Any = extra.get("edition") or "paas"
    if edition not in ("paas", "saas"):
        raise MisconfiguredError(f"Connection {name}: unknown edition. Resolution: use paas or saas.")
    admin_url = extra.get("admin_url")
    return CommerceConnection(
        host=_url(connection),
        edition=edition,
        admin_url=str(admin_url).rstrip("/") if admin_url else None,
        extra={key: str(value) for key, value in extra.items()},
    )


def open_database(
    name: str,
    *,
    application_name: str,
    statement_timeout: timedelta | None = None,
    lock_timeout: timedelta = Settings.lock_timeout,
    pool_size: int = 2,
) -> Engine:
    """An engine with a pool for an Airflow connection of type postgres; dispose it when the work is done."""
    from include.database.engine import make_engine

    return make_engine(
        database_url(name),
        application_name=application_name,
        statement_timeout=statement_timeout,
        lock_timeout=lock_timeout,
        is_pooled=True,
        pool_size=pool_size,
    )


def database_url(name: str) -> URL:
    """The SQLAlchemy address of an Airflow connection of type postgres; `host` may be the folder of a unix socket."""
    from sqlalchemy import URL

    connection = _connection(name)
    query = {key: str(value) for key, value in _extra(connection).items() if not key.startswith("__")}
    host = connection.host or ""
    if host.startswith("/"):
        query["host"] = host
        if connection.port:  # a part of the socket's file name
            query["port"] = str(connection.port)
        host = ""
    return URL.create(
        "postgresql+psycopg",
        username=connection.login or None,
        password=connection.password or None,
        host=host or None,
        port=connection.port if host else None,
        database=connection.schema or None,
        query=query,
    )


def _connection(name: str) -> Connection:
    try:
        found: Connection = Connection.get(name)
        return found
    except AirflowNotFoundException:
        raise MisconfiguredError(
            f"There is no Airflow connection {name!r}, or it cannot be read. Resolution: create it, or set "
            f"AIRFLOW_CONN_{name.upper()} to valid JSON; docs/configuration.md shows its shape."
        ) from None


def _extra(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = connection.extra_dejson
    return found


def _url(connection: Connection) -> str:
    """The base address that a connection of type http names: `host` may carry the scheme."""
    host = connection.host or ""
    scheme, _, rest = (host if "://" in host else f"{connection.schema or 'https'}://{host}").partition("://")
    place, slash, path = rest.partition("/")
    if connection.port and not re.search(r":\d+$", place):
        place = f"{place}:{connection.port}"
    return f"{scheme}://{place}{slash}{path}"
