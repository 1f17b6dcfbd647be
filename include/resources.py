"""What one task needs: clients, engine, stores and keys, each built when it is first asked for."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from include.connections import amazon_connection, commerce_connection, open_database
from include.domain.errors import MisconfiguredError
from include.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.adapters.amazon.client import AmazonClient
    from include.adapters.commerce.client import CommerceClient
    from include.adapters.http import Timeouts
    from include.adapters.personal_data import PersonalDataCipher
    from include.domain.stores import Account, Stores

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The wall clock, UTC. Steps get it as an argument."""
    return datetime.now(UTC)


class Resources:
    """What one task needs. Use as a context manager: it closes the clients and the connections to the database."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self._commerce: dict[str, CommerceClient] = {}
        self._amazon: dict[str, AmazonClient] = {}
        self._databases: dict[str, Engine] = {}

    def __enter__(self) -> Resources:
        return self

    def __exit__(self, *_: object) -> None:
        for shop in self._commerce.values():
            shop.close()
        for seller in self._amazon.values():
            seller.close()
        for engine in self._databases.values():
            engine.dispose()

    @property
    def run_id(self) -> str:
        """The id of the DAG run that this task belongs to; every row says which run wrote it."""
        run_id: str = get_current_context()["run_id"]
        return run_id

    @property
    def params(self) -> dict[str, Any]:
        """The params of the DAG run. Raises MisconfiguredError for a key that the DAG does not have."""
        context = get_current_context()
        known, given = set(context["dag"].params), set(context["dag_run"].conf or {})
        if unknown := sorted(given - known):
            raise MisconfiguredError(
                f"The DAG {context['dag'].dag_id} has no param {', '.join(unknown)}. Resolution: trigger it with "
                f"{', '.join(sorted(known))} only."
            )
        return dict(context["params"])

    @property
    def run(self) -> dict[str, Any]:
        """What a step gets of its run: the time (UTC) and the run's id."""
        return {"now": utc_now(), "dag_run_id": self.run_id}

    @property
    def timed_run(self) -> dict[str, Any]:
        """The same for steps that take long: a clock instead of a time."""
        return {"clock": utc_now, "dag_run_id": self.run_id}

    @cached_property
    def stores(self) -> Stores:
        """The stores of `stores_file`."""
        from include.adapters.stores_file import load_stores

        return load_stores(self.settings.stores_file)

    def account(self, name: str) -> Account:
        """One account of the stores file. Raises MisconfiguredError when it is not there any more."""
        try:
            return self.stores.account(name)
        except KeyError:
            raise MisconfiguredError(
                f"There is no account {name!r} in {self.settings.stores_file}. Resolution: put it back, or clear the "
                "run and let the next one read the file."
            ) from None

    @cached_property
    def engine(self) -> Engine:
        """The orders database, as the DAGs' role (connection `orders_db`)."""
        return self.database("orders_db")

    def database(self, name: str) -> Engine:
        """The orders database, as the role of an Airflow connection."""
        if name not in self._databases:
            timeout = self.settings.lock_timeout
            self._databases[name] = open_database(name, application_name="orders_dags", lock_timeout=timeout)
        return self._databases[name]

    @cached_property
    def cipher(self) -> PersonalDataCipher:
        """Encrypts and decrypts personal data with ORDERS_PII_KEYS."""
        from include.adapters.personal_data import PersonalDataCipher

        return PersonalDataCipher(self.settings.pii_key_list())

    def admin_urls(self) -> dict[str, str | None]:
        """The base address of the admin pages behind each Commerce connection of the stores file.

        None for a connection that is missing or wrong: it concerns only the orders of its stores, later on.
        """
        urls: dict[str, str | None] = {}
        for name in sorted({store.commerce_connection for store in self.stores.all()}):
            try:
                urls[name] = commerce_connection(name).admin_url
            except MisconfiguredError as error:
                log.warning("Orders of stores with connection %s cannot be created: %s", name, error)
                urls[name] = None
        return urls

    def amazon(self, account_name: str) -> AmazonClient:
        """The Selling Partner API as one account."""
        if account_name not in self._amazon:
            self._amazon[account_name] = self._make_amazon(self.account(account_name))
        return self._amazon[account_name]

    def _make_amazon(self, account: Account) -> AmazonClient:
        from include.adapters.amazon.client import AmazonClient
        from include.adapters.amazon.rate_limits import RateLimiter
        from include.adapters.api_calls import DatabaseCallRecorder

        found = amazon_connection(account.connection)
        for key, ours in (("seller_id", account.seller_id), ("region", account.region)):
            theirs = getattr(found, key)
            if theirs != ours:
                raise MisconfiguredError(
                    f"Account {account.name} is {key} {ours} in the stores file, but connection {account.connection} "
                    f"is for {theirs}. Resolution: give the account the connection of its own seller."
                )
        return AmazonClient(
            endpoint=found.endpoint,
            token_url=found.token_url,
            client_id=found.client_id,
            client_secret=found.client_secret,
            refresh_token=found.refresh_token,
            account_name=account.name,
            region=account.region,
            connection=account.connection,
            limiter=RateLimiter(
                self.engine,
                found.client_id,
                account.name,
                account.region,
                max_wait=self.settings.rate_limit_max_wait,
            ),
            record=DatabaseCallRecorder(self.engine),
            timeouts=self._timeouts(),
        )

    def commerce(self, connection_name: str) -> CommerceClient:
        """The shop behind one Airflow connection."""
        if connection_name not in self._commerce:
            self._commerce[connection_name] = self._make_commerce(connection_name)
        return self._commerce[connection_name]

    def _make_commerce(self, name: str) -> CommerceClient:
        from include.adapters.api_calls import DatabaseCallRecorder
        from include.adapters.commerce.auth import build_auth
        from include.adapters.commerce.client import CommerceClient

        found = commerce_connection(name)
        record, timeouts = DatabaseCallRecorder(self.engine), self._timeouts()
        return CommerceClient(
            host=found.host,
            auth=build_auth(found.extra, name, record=record, timeouts=timeouts),
            edition=found.edition,
            connection=name,
            record=record,
            timeouts=timeouts,
        )

    def _timeouts(self) -> Timeouts:
        from include.adapters.http import Timeouts

        settings = self.settings
        durations = (settings.http_connect_timeout, settings.http_read_timeout, settings.http_total_timeout)
        return Timeouts(*(duration.total_seconds() for duration in durations))
