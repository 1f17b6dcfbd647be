"""Turns Airflow's connections into clients and engines, and our errors into retries: the only Airflow import here."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection, get_current_context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowNotFoundException

from include.domain.errors import MisconfiguredError, OrdersError, ThrottledError, UnavailableError
from include.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

    from include.adapters.amazon_client import AmazonClient
    from include.adapters.commerce_client import CommerceClient
    from include.adapters.personal_data import PersonalDataCipher
    from include.domain.stores import Account, Stores

log = logging.getLogger(__name__)


class OrdersRetryPolicy(RetryPolicy):
    """Retries what may pass, with its own delay; fails at once what only a person can mend.

    Throttled: after the wait that was asked for. Unreachable, faulty, in doubt: after `retry_delay_seconds`, doubled
    each time. Anything else of ours: no retry. Errors that are not ours keep Airflow's own rule.
    """

    def __init__(self, retry_delay_seconds: int) -> None:
        self.retry_delay_seconds = retry_delay_seconds

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        if isinstance(exception, ThrottledError):
            return RetryDecision.retry(exception.retry_after, "throttled")
        if isinstance(exception, UnavailableError):
            delay = timedelta(seconds=self.retry_delay_seconds * 2 ** max(try_number - 1, 0))
            return RetryDecision.retry(delay, "the other system failed")
        if isinstance(exception, OrdersError):
            return RetryDecision.fail("a retry cannot help")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {"retry_delay_seconds": self.retry_delay_seconds}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OrdersRetryPolicy:
        return cls(**data)


def task_defaults() -> dict[str, Any]:
    """`default_args` of every DAG: retries by cause, a time-out. Reads the settings only."""
    settings = Settings.from_environment()
    return {
        "owner": "orders",
        "retries": settings.task_retries,
        "retry_delay": settings.seconds("retry_delay_seconds"),
        "retry_policy": OrdersRetryPolicy(settings.retry_delay_seconds),
        "execution_timeout": settings.seconds("task_timeout_seconds"),
    }


def utc_now() -> datetime:
    """The wall clock, UTC. Steps get it as an argument."""
    return datetime.now(UTC)


class Wiring:
    """Everything that one task needs, made when first asked for. Use as a context manager: it closes the clients."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self._commerce: dict[str, CommerceClient] = {}
        self._amazon: dict[str, AmazonClient] = {}

    def __enter__(self) -> Wiring:
        return self

    def __exit__(self, *_: object) -> None:
        for shop in self._commerce.values():
            shop.close()
        for seller in self._amazon.values():
            seller.close()

    @property
    def run_id(self) -> str:
        """The id of the DAG run that this task belongs to; every row says which run wrote it."""
        run_id: str = get_current_context()["run_id"]
        return run_id

    @cached_property
    def stores(self) -> Stores:
        """The stores of `stores_file`."""
        from include.stores import load_stores

        return load_stores(self.settings.stores_file)

    def account(self, name: str) -> Account:
        """One account of the stores file. Raises MisconfiguredError when it is not there any more."""
        try:
            return self.stores.account(name)
        except KeyError:
            raise MisconfiguredError(f"There is no account {name!r} in {self.settings.stores_file}.") from None

    @cached_property
    def engine(self) -> Engine:
        """The orders database, as the DAGs' role (connection `orders_db`)."""
        return open_database("orders_db", application_name="orders_dags")

    @cached_property
    def cipher(self) -> PersonalDataCipher:
        """Encrypts and decrypts personal data with ORDERS_PII_KEYS."""
        from include.adapters.personal_data import PersonalDataCipher

        return PersonalDataCipher(self.settings.pii_key_list())

    def admin_urls(self) -> dict[str, str | None]:
        """The base address of the admin pages behind each Commerce connection of the stores file."""
        found: dict[str, str | None] = {}
        for name in {store.commerce_connection for store in self.stores.all()}:
            extra = _extra(_connection(name))
            found[name] = extra["admin_url"].rstrip("/") if extra.get("admin_url") else None
        return found

    def amazon(self, account_name: str) -> AmazonClient:
        """The Selling Partner API as one account."""
        if account_name not in self._amazon:
            self._amazon[account_name] = self._make_amazon(self.account(account_name))
        return self._amazon[account_name]

    def _make_amazon(self, account: Account) -> AmazonClient:
        from include.adapters.amazon_client import AmazonClient
        from include.adapters.api_calls import DatabaseCallRecorder
        from include.adapters.http import Timeouts
        from include.adapters.rate_limits import RateLimiter

        connection = _connection(account.connection)
        extra = _required(
            account.connection,
            connection,
            ("token_url", "client_id", "client_secret", "refresh_token", "seller_id", "region"),
        )
        for key, ours in (("seller_id", account.seller_id), ("region", account.region)):
            if extra[key] != ours:
                raise MisconfiguredError(
                    f"Account {account.name} is {key} {ours} in the stores file, but connection {account.connection} "
                    f"is for {extra[key]}. Resolution: give the account the connection of its own seller."
                )
        return AmazonClient(
            endpoint=_url(connection),
            token_url=extra["token_url"],
            client_id=extra["client_id"],
            client_secret=extra["client_secret"],
            refresh_token=extra["refresh_token"],
            account_name=account.name,
            region=account.region,
            connection=account.connection,
            limiter=RateLimiter(
                self.engine,
                extra["client_id"],
                account.name,
                account.region,
                max_wait_seconds=self.settings.rate_limit_max_wait_seconds,
            ),
            record=DatabaseCallRecorder(self.engine),
            timeouts=Timeouts(self.settings.http_connect_timeout_seconds, self.settings.http_read_timeout_seconds),
        )

    def commerce(self, connection_name: str) -> CommerceClient:
        """The shop behind one Airflow connection."""
        if connection_name not in self._commerce:
            self._commerce[connection_name] = self._make_commerce(connection_name)
        return self._commerce[connection_name]

    def _make_commerce(self, name: str) -> CommerceClient:
        from include.adapters.api_calls import DatabaseCallRecorder
        from include.adapters.commerce_auth import build_auth
        from include.adapters.commerce_client import CommerceClient
        from include.adapters.http import Timeouts

        connection = _connection(name)
        extra = _extra(connection)
        edition: Any = extra.get("edition", "paas")
        return CommerceClient(
            host=_url(connection),
            auth=build_auth(extra, name),
            edition=edition,
            connection=name,
            record=DatabaseCallRecorder(self.engine),
            timeouts=Timeouts(self.settings.http_connect_timeout_seconds, self.settings.http_read_timeout_seconds),
        )


def open_database(name: str, *, application_name: str, statement_timeout: timedelta | None = None) -> Engine:
    """An engine for an Airflow connection of type postgres."""
    from include.database.engine import make_engine

    return make_engine(database_url(name), application_name=application_name, statement_timeout=statement_timeout)


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
            f"AIRFLOW_CONN_{name.upper()} to sound JSON; docs/configuration.md shows its shape."
        ) from None


def _extra(connection: Connection) -> dict[str, str]:
    found: dict[str, str] = connection.extra_dejson
    return found


def _required(name: str, connection: Connection, keys: tuple[str, ...]) -> dict[str, str]:
    extra = _extra(connection)
    missing = [key for key in keys if not extra.get(key)]
    if missing:
        raise MisconfiguredError(
            f"Airflow connection {name!r} lacks {', '.join(missing)} in its extra. Resolution: add them; "
            "docs/configuration.md shows its shape."
        )
    return extra


def _url(connection: Connection) -> str:
    """The base address that a connection of type http names: `host` may carry the scheme."""
    host = connection.host or ""
    scheme, _, rest = (host if "://" in host else f"{connection.schema or 'https'}://{host}").partition("://")
    place, slash, path = rest.partition("/")
    if connection.port and not re.search(r":\d+$", place):
        place = f"{place}:{connection.port}"
    return f"{scheme}://{place}{slash}{path}"
