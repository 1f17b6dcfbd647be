"""Wrong settings, connections and databases: the error says what to fix, nothing is lost, and fixing it is enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from include.database.engine import make_engine
from tests.support.orders import order_id
from tests.support.road import Road

CHECKOUT = Path(__file__).parents[2]
ORDER = order_id(1)
TRAY = {"TRAY-WALNUT": 1}
NOWHERE = URL.create("postgresql+psycopg", "orders_rw", "planted-password", "127.0.0.1", 9, "orders")

TASKS = """
import json, os, sys
from include.steps import extract_amazon_orders
from include.resources import Resources

said = {}
for name, environment in json.load(sys.stdin).items():
    os.environ.clear()
    os.environ.update(environment)
    try:
        with Resources() as resources:
            account, client = resources.account("acme-na"), resources.amazon("acme-na")
            resources.commerce("commerce_api")
            done = extract_amazon_orders.run(
                resources.engine, client, resources.cipher, account, resources.settings, dag_run_id="test"
            )
            said[name] = f"{done['orders']} orders"
    except Exception as error:
        said[name] = f"{type(error).__name__} {error}"
print("SAID" + json.dumps(said))
"""


def connection(host: str, **extra: str) -> str:
    return json.dumps({"conn_type": "http", "host": host, "extra": extra})


@pytest.fixture
def task_environment(road: Road, tmp_path: Path) -> dict[str, str]:
    """The environment of a task that would do well: what every case below spoils in one place."""
    url = road.engine.url
    application, shop = road.scenario.applications[0], road.scenario.commerce
    database = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    amazon = connection(
        road.sandbox.amazon_url,
        token_url=road.sandbox.amazon_url + "/auth/o2/token",
        client_id=application.client_id,
        client_secret=application.client_secret,
        refresh_token=application.refresh_token,
        seller_id=application.seller_id,
        region=application.region,
    )
    commerce = connection(
        road.sandbox.commerce_url,
        consumer_key=shop.consumer_key,
        consumer_secret=shop.consumer_secret,
        access_token=shop.access_token,
        access_token_secret=shop.access_token_secret,
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ORDERS"))}
    return kept | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_ORDERS_DB": json.dumps(database),
        "AIRFLOW_CONN_AMAZON_SP_API": amazon,
        "AIRFLOW_CONN_COMMERCE_API": commerce,
        "ORDERS_PII_KEYS": Fernet.generate_key().decode(),
    }


def run_tasks(environments: dict[str, dict[str, str]]) -> dict[str, str]:
    """What a task says in each environment: how many orders it read, or its error."""
    ran = subprocess.run(
        [sys.executable, "-c", TASKS],
        cwd=CHECKOUT,
        env=next(iter(environments.values())),
        input=json.dumps(environments),
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, str] = json.loads(ran.stdout.partition("SAID")[2])
    return said


def test_error_names_what_to_fix_when_a_setting_or_connection_is_wrong(
    road: Road, task_environment: dict[str, str], tmp_path: Path
) -> None:
    stores_file = tmp_path / "stores.yaml"
    sound_stores = (CHECKOUT / "include" / "stores.yaml").read_text(encoding="utf-8")
    stores_file.write_text(sound_stores.replace("ATVPDKIKX0DER", "A0NOWHERE"), encoding="utf-8")
    amazon = json.loads(task_environment["AIRFLOW_CONN_AMAZON_SP_API"])
    other_seller = amazon | {"extra": amazon["extra"] | {"seller_id": "A9STRANGER"}}
    poorer = amazon | {"extra": {k: v for k, v in amazon["extra"].items() if k != "refresh_token"}}
    cases: dict[str, tuple[dict[str, str | None], list[str]]] = {
        # case: (what is changed in the environment, what the error names)
        "no key": ({"ORDERS_PII_KEYS": ""}, ["ORDERS_PII_KEYS is not set", "Resolution: make a key"]),
        "bad key": ({"ORDERS_PII_KEYS": "planted-secret"}, ["ORDERS_PII_KEYS: key 1 of 1 is not a Fernet key"]),
        "no number": ({"ORDERS_TASK_RETRIES": "many"}, ["ORDERS_TASK_RETRIES must be a whole number, not 'many'"]),
        "marketplace": (
            {"ORDERS_STORES_FILE": str(stores_file)},
            [f"{stores_file}:14: store Acme US: marketplace_id 'A0NOWHERE' is not a marketplace of Amazon"],
        ),
        "stranger": ({"AIRFLOW_CONN_AMAZON_SP_API": json.dumps(other_seller)}, ["acme-na", "seller_id", "A9STRANGER"]),
        "no token": ({"AIRFLOW_CONN_AMAZON_SP_API": json.dumps(poorer)}, ["'amazon_sp_api' lacks refresh_token"]),
        "no connection": ({"AIRFLOW_CONN_COMMERCE_API": None}, ["no Airflow connection 'commerce_api'", "Resolution:"]),
        "http to amazon": (
            {"AIRFLOW_CONN_AMAZON_SP_API": json.dumps(amazon | {"host": "http://sellingpartnerapi-na.amazon.com"})},
            ["amazon_sp_api", "plain http is refused for sellingpartnerapi-na.amazon.com", "https"],
        ),
        "http to the shop": (
            {
                "AIRFLOW_CONN_COMMERCE_API": connection(
                    "http://shop.example", auth="bearer", access_token="planted-secret"
                )
            },
            ["commerce_api", "plain http is refused for shop.example", "https"],
        ),
        "no database": (
            {"AIRFLOW_CONN_ORDERS_DB": json.dumps({"conn_type": "postgres", "host": "127.0.0.1", "port": 9})},
            ["The orders database cannot be reached", '"127.0.0.1", port 9', "Resolution: check that PostgreSQL runs"],
        ),
    }
    road.stage_stores()
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    spoiled = {
        name: {key: value for key, value in (task_environment | changes).items() if value is not None}
        for name, (changes, _) in cases.items()
    }
    said = run_tasks(spoiled)
    for name, (_, named) in cases.items():
        kind = "OperationalError" if name == "no database" else "MisconfiguredError"
        assert said[name].startswith(kind), said[name]
        for part in named:
            assert part in said[name], name
        assert "planted-secret" not in said[name]
    assert road.rows("select * from raw.amazon_orders") == []
    assert road.rows("select * from ops.ingest_windows") == []
    assert run_tasks({"sound": task_environment}) == {"sound": "1 orders"}, "nothing else was wrong"
    assert road.value("select count(*) from raw.amazon_orders") == 1


def test_step_says_what_to_check_when_the_database_cannot_be_reached(road: Road) -> None:
    sound = road.engine
    road.buy(ORDER, TRAY)
    road.pass_time(minutes=10)
    road.engine = make_engine(NOWHERE, application_name="tests")
    for step in (road.stage_stores, road.stage_amazon_orders, road.validate_orders, road.create_commerce_orders):
        with pytest.raises(OperationalError, match="The orders database cannot be reached") as caught:
            step()
        assert "Resolution: check that PostgreSQL runs" in str(caught.value)
        assert "planted-password" not in str(caught.value)
    assert road.sandbox.commerce.orders() == []
    road.engine = sound
    road.next_run()
    assert [order["ext_order_id"] for order in road.sandbox.commerce.orders()] == [ORDER]


@pytest.mark.parametrize(
    ("address", "named"),
    [
        (NOWHERE.render_as_string(hide_password=False), ['"127.0.0.1", port 9', "Connection refused"]),
        ("planted-password", ["ORDERS_DB_ADMIN_URL is not an address"]),
        ("postgresql://admin:planted-password@db:port/orders", ["ORDERS_DB_ADMIN_URL is not an address"]),
        ("mysql://admin:planted-password@db/orders", ["ORDERS_DB_ADMIN_URL is not an address"]),
        ("the analyst", ["permission denied"]),
    ],
)
def test_migrate_command_names_the_cause_when_the_database_is_not_usable(
    database_url: URL, address: str, named: list[str]
) -> None:
    if address == "the analyst":
        address = database_url.set(username="analyst").render_as_string(hide_password=False)
    ran = subprocess.run(
        [sys.executable, "-m", "include.database", "migrate"],
        cwd=CHECKOUT,
        env=os.environ | {"ORDERS_DB_ADMIN_URL": address},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    for part in ("The orders database was not migrated:", *named, "Resolution: check ORDERS_DB_ADMIN_URL"):
        assert part in ran.stderr
    assert "planted-password" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_migrate_command_succeeds_when_the_database_is_usable(database_url: URL) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "include.database", "migrate"],
        cwd=CHECKOUT,
        env=os.environ | {"ORDERS_DB_ADMIN_URL": database_url.render_as_string(hide_password=False)},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "The orders database is up to date.\n", "")
