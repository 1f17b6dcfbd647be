"""Walks the data path without Airflow: the steps with real clients, a real database and the real sandbox servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from include.adapters.amazon.cancellations import FeedCancellations
from include.adapters.amazon.client import AmazonClient
from include.adapters.amazon.feeds import FeedsClient
from include.adapters.amazon.rate_limits import RateLimiter
from include.adapters.api_calls import DatabaseCallRecorder
from include.adapters.carriers_file import load_carriers
from include.adapters.commerce.auth import build_auth
from include.adapters.commerce.client import CommerceClient
from include.adapters.http import Timeouts
from include.adapters.personal_data import PersonalDataCipher
from include.adapters.stores_file import load_stores
from include.database.tables import metadata
from include.domain.errors import OrdersError
from include.domain.stores import Pack, Stores
from include.settings import Settings
from include.steps import (
    create_commerce_orders,
    extract_amazon_orders,
    extract_commerce_shipments,
    publish_recent_orders,
    purge_operational_history,
    push_amazon_shipments,
    stage_amazon_orders,
    stage_commerce_shipments,
    stage_stores,
    submit_cancellations,
    validate_orders,
    verify_amazon_shipments,
)
from local.sandbox.seeds import Scenario
from local.sandbox.servers import Sandbox
from tests.support.orders import seed
from tests.support.waiting import PATIENT

_UNFINISHED = """
    select
        (select count(*) from ops.ingest_windows where state = 'open')
        + (select count(*) from ops.ingest_pages where staged_at is null)
        + (select count(*) from ops.order_outbox where finished_at is null and state not in ('rejected', 'canceled'))
        + (select count(*) from ops.order_change_outbox where done_at is null)
        + (select count(*) from ops.shipment_outbox where state in ('planned', 'sent', 'in_doubt'))
"""
STORES_FILE = Path(__file__).parents[2] / "include" / "stores.yaml"
SHOP = "commerce_api"


def _task(failed: list[OrdersError], step: Callable[..., Any], *arguments: Any) -> Any:
    """A task of a run: what it returns; nothing if it failed, and `failed` says why."""
    try:
        return step(*arguments)
    except OrdersError as error:
        failed.append(error)
        return []


@dataclass
class Road:
    """One merchant's installation. `skipped` is how far the pipeline's own clock is ahead of the wall clock."""

    engine: Engine = field(repr=False)
    sandbox: Sandbox = field(repr=False)
    scenario: Scenario = field(repr=False)
    settings: Settings = field(
        repr=False,
        default_factory=lambda: Settings(
            window_minimum=timedelta(),
            history_window=timedelta(days=1000),  # all of a new account's history in one request
            shipment_verify_gap=timedelta(seconds=1),
            rate_limit_max_wait=timedelta(),
        ),
    )
    stores: Stores = field(repr=False, default_factory=lambda: load_stores(STORES_FILE))
    cipher: PersonalDataCipher = field(
        repr=False, default_factory=lambda: PersonalDataCipher([Fernet.generate_key().decode()])
    )
    skipped: timedelta = timedelta()
    run_number: int = 0
    timeouts: Timeouts = field(repr=False, default=PATIENT)

    def __enter__(self) -> Road:
        return self

    def __exit__(self, *_: object) -> None:
        self.shop.close()

    @property
    def run_id(self) -> str:
        """The current run's id, as Airflow would give it to every task of a run."""
        return f"test__{self.run_number}"

    def now(self) -> datetime:
        """The pipeline's clock."""
        return datetime.now(UTC) + self.skipped

    def pass_time(self, **step: float) -> None:
        """Let time pass everywhere: for the pipeline, in the sandbox, and for the rate limits."""
        self.skipped += timedelta(**step)
        self.sandbox.clock.advance(timedelta(**step))
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "update ops.rate_limits"
                    " set refilled_at = refilled_at - :step, blocked_until = blocked_until - :step"
                ),
                {"step": timedelta(**step)},
            )

    def buy(self, order_id: str, lines: dict[str, int] | None = None, **options: Any) -> None:
        """A buyer orders on Amazon now, by the sandbox's clock."""
        self.sandbox.amazon.add_order(seed(order_id, lines, at=self.sandbox.clock.now(), **options))

    def new_task(self) -> None:
        """What comes next is a process of its own: it asks the shop anew."""
        self.shop.close()
        del self.shop  # the cached one; made again when it is asked for

    def amazon(self, account_name: str) -> AmazonClient:
        """A client for one account, with a token cache of its own process like any task's."""
        account = self.stores.account(account_name)
        application = next(a for a in self.scenario.applications if a.seller_id == account.seller_id)
        return AmazonClient(
            endpoint=self.sandbox.amazon_url,
            token_url=self.sandbox.amazon_url + "/auth/o2/token",
            client_id=application.client_id,
            client_secret=application.client_secret,
            refresh_token=application.refresh_token,
            account_name=account.name,
            region=account.region,
            connection=account.connection,
            limiter=RateLimiter(self.engine, application.client_id, account.name, account.region, max_wait=timedelta()),
            record=DatabaseCallRecorder(self.engine),
            timeouts=self.timeouts,
        )

    def cancellations(self, client: AmazonClient, account_name: str) -> FeedCancellations:
        """The way of one account's cancellations to Amazon."""
        return FeedCancellations(FeedsClient(client), self.stores.account(account_name).seller_id)

    @cached_property
    def shop(self) -> CommerceClient:
        """The client of the one shop."""
        return self.connect_shop(self.sandbox.commerce_url)

    def connect_shop(self, url: str) -> CommerceClient:
        """A new client for the scenario's shop behind `url`; whoever asks for it closes it."""
        seed = self.scenario.commerce
        record = DatabaseCallRecorder(self.engine)
        return CommerceClient(
            host=url,
            auth=build_auth(seed.credentials(), SHOP, record=record, timeouts=self.timeouts),
            edition="paas",
            connection=SHOP,
            record=record,
            timeouts=self.timeouts,
        )

    def commerce(self, connection: str) -> CommerceClient:
        """What the steps get: connection name -> client."""
        assert connection == SHOP
        return self.shop

    def change_settings(self, **values: Any) -> None:
        """Go on with other settings."""
        self.settings = replace(self.settings, **values)

    def change_store(
        self, store_name: str, sku_map: Mapping[str, str | Pack] | None = None, **order_settings: Any
    ) -> None:
        """Edit the stores file: this store has other order settings, or another SKU map, from the next run on."""
        packs = {sku: Pack(pack) if isinstance(pack, str) else pack for sku, pack in (sku_map or {}).items()}
        accounts = []
        for account in self.stores.accounts:
            stores = [
                replace(
                    store,
                    orders=replace(store.orders, **order_settings),
                    sku_map=store.sku_map if sku_map is None else packs,
                )
                if store.name == store_name
                else store
                for store in account.stores
            ]
            accounts.append(replace(account, stores=tuple(stores)))
        self.stores = Stores(tuple(accounts))

    def next_run(self) -> None:
        """Ten minutes later, long enough for Amazon to list every change: the next run of the orders' DAG."""
        self.pass_time(minutes=10)
        self.orders_run()

    def run_as_airflow(self) -> list[OrdersError]:
        """The same as Airflow makes it: a task that fails stops only what its trigger rules stop. Returns what failed.

        Reporting follows all the same.
        """
        self.pass_time(minutes=10)
        self.new_task()
        self.run_number += 1
        failed: list[OrdersError] = []
        for account_name in _task(failed, self.stage_stores):
            _task(failed, self.extract_amazon_orders, account_name)
        _task(failed, self.stage_amazon_orders)
        for account_name in _task(failed, self.validate_orders):
            _task(failed, self.create_commerce_orders, account_name)
        self.publish_recent_orders()
        return failed

    def shipments_run_as_airflow(self) -> list[OrdersError]:
        """The same for the shipments' DAG, at once."""
        self.new_task()
        self.run_number += 1
        failed: list[OrdersError] = []
        _task(failed, self.extract_commerce_shipments)
        accounts = _task(failed, self.stage_commerce_shipments)
        for step in (self.push_amazon_shipments, self.verify_amazon_shipments):
            for account_name in accounts:
                _task(failed, step, account_name)
        self.publish_recent_orders()
        return failed

    # One method per step, so that tests read as the path does.

    def stage_stores(self) -> list[str]:
        admin_urls = {SHOP: self.sandbox.commerce_url + "/admin"}
        return stage_stores.run(self.engine, self.stores, admin_urls, now=self.now(), dag_run_id=self.run_id)

    def extract_amazon_orders(self, account_name: str = "acme-na") -> dict[str, int]:
        with self.amazon(account_name) as client:
            account = self.stores.account(account_name)
            return extract_amazon_orders.run(
                self.engine, client, self.cipher, account, self.settings, dag_run_id=self.run_id
            )

    def stage_amazon_orders(self) -> dict[str, int]:
        return stage_amazon_orders.run(self.engine, now=self.now(), dag_run_id=self.run_id)

    def validate_orders(self) -> list[str]:
        return validate_orders.run(
            self.engine, self.commerce, self.stores, self.settings, now=self.now(), dag_run_id=self.run_id
        )

    def create_commerce_orders(self, account_name: str = "acme-na") -> dict[str, int]:
        return create_commerce_orders.run(
            self.engine,
            self.commerce,
            self.cipher,
            account_name,
            self.stores,
            self.settings,
            clock=self.now,
            dag_run_id=self.run_id,
        )

    def extract_commerce_shipments(self) -> dict[str, int]:
        return extract_commerce_shipments.run(
            self.engine, self.commerce, self.settings, now=self.now(), dag_run_id=self.run_id
        )

    def stage_commerce_shipments(self) -> list[str]:
        carriers = load_carriers(self.settings.carriers_file, self.stores)
        return stage_commerce_shipments.run(
            self.engine, self.stores, carriers, self.settings, clock=self.now, dag_run_id=self.run_id
        )

    def push_amazon_shipments(self, account_name: str = "acme-na") -> dict[str, int]:
        with self.amazon(account_name) as client:
            return push_amazon_shipments.run(
                self.engine, client, account_name, self.settings, clock=self.now, dag_run_id=self.run_id
            )

    def verify_amazon_shipments(self, account_name: str = "acme-na") -> dict[str, int]:
        with self.amazon(account_name) as client:
            return verify_amazon_shipments.run(
                self.engine, client, account_name, self.settings, clock=self.now, dag_run_id=self.run_id
            )

    def submit_cancellations(self) -> dict[str, int]:
        with ExitStack() as clients:

            def gateway(account_name: str) -> FeedCancellations:
                return self.cancellations(clients.enter_context(Road.amazon(self, account_name)), account_name)

            work = (self.engine, gateway, self.settings)
            return submit_cancellations.run(*work, clock=self.now, dag_run_id=self.run_id)

    def publish_recent_orders(self) -> dict[str, int]:
        return publish_recent_orders.run(self.engine, now=self.now(), dag_run_id=self.run_id)

    def purge_operational_history(self) -> dict[str, int]:
        return purge_operational_history.run(self.engine, self.settings, now=self.now())

    def orders_run(self, create: Callable[[str], Any] | None = None) -> None:
        """One run of amazon_orders_to_commerce and of the reporting that follows it."""
        self.new_task()
        self.run_number += 1
        for account_name in self.stage_stores():
            self.extract_amazon_orders(account_name)
        self.stage_amazon_orders()
        for account_name in self.validate_orders():
            (create or self.create_commerce_orders)(account_name)
        self.publish_recent_orders()

    def shipments_run(self) -> None:
        """One run of commerce_shipments_to_amazon and of the reporting that follows it."""
        self.new_task()
        self.run_number += 1
        self.extract_commerce_shipments()
        accounts = self.stage_commerce_shipments()
        for account_name in accounts:
            self.push_amazon_shipments(account_name)
        for account_name in accounts:
            self.verify_amazon_shipments(account_name)
        self.publish_recent_orders()

    def with_account(self, account_name: str) -> None:
        """Go on with this account as the only one of stores.yaml, which makes runs faster."""
        self.stores = Stores((self.stores.account(account_name),))

    def settle(self, meanwhile: Callable[[], Any] = lambda: None) -> None:
        """Run everything, while time passes, until everything planned is done and every shipped order is Completed.

        `meanwhile` is done in each round between the two DAGs.
        """
        for _ in range(15):
            self.pass_time(minutes=10)
            self.orders_run()
            meanwhile()
            self.shipments_run()
            if not self.value(_UNFINISHED):
                break
        else:
            raise AssertionError("something is never finished")
        for _ in range(2):
            self.pass_time(minutes=10)
            self.orders_run()

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table, by schema and table; contacts decrypted, because tokens differ each time."""
        content = {}
        with self.engine.connect() as connection:
            for table in metadata.sorted_tables:
                rows = [dict(row._mapping) for row in connection.execute(table.select())]
                for row in rows:
                    if "contact_encrypted" in row:
                        row["contact_encrypted"] = self.cipher.decrypt(bytes(row["contact_encrypted"]))
                content[f"{table.schema}.{table.name}"] = sorted(rows, key=repr)
        return content

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """The rows of a query, for asserting on."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def value(self, statement: str, **values: Any) -> Any:
        """The one value of a query."""
        with self.engine.connect() as connection:
            return connection.execute(text(statement), values).scalar_one()

    def shown(self, amazon_order_id: str) -> Any:
        """The order's row of Recent Orders."""
        (row,) = self.rows("select * from reporting.recent_orders where amazon_order_id = :id", id=amazon_order_id)
        return row
