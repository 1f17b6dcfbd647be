"""Each mistake in databases, roles, keys and pools is found before an order meets it, and named with what to do."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import URL, Engine, text

from include.adapters.personal_data import PersonalDataCipher
from include.steps import check_setup
from tests.support.checked_setup import Installation, installation, the_problem

__all__ = ["installation"]  # a fixture: the tests name it as an argument

ORDER = "902-0000001-0000001"


def test_database_is_found_when_it_is_older_or_newer(installation: Installation, admin_engine: Engine) -> None:
    for version, said in (("0001", "run python -m include.database migrate"), ("9999", "install the version")):
        with admin_engine.begin() as connection:
            connection.execute(text("update ops.schema_version set version_num = :version"), {"version": version})
        line = the_problem(installation)
        assert line.startswith(f"PROBLEM      orders_db: the tables are of version {version}")
        assert said in line


def test_database_is_found_when_it_was_never_migrated(installation: Installation, database_url: URL) -> None:
    installation.urls["orders_db"] = database_url.set(database="postgres")
    installation.urls["orders_db_ui"] = database_url.set(database="postgres", username="orders_ui")
    problems = installation.problems()
    assert [problem.subject for problem in problems] == ["orders_db", "orders_db_ui"]
    assert "has none of this project's tables. Resolution: run python -m include.database migrate" in problems[0].words
    assert "NOT CHECKED" in {finding.state for finding in installation.check() if finding.subject.startswith("account")}


def test_database_is_found_when_nothing_listens(installation: Installation) -> None:
    nowhere = URL.create("postgresql+psycopg", "orders_rw", "planted-password", "127.0.0.1", 9, "orders")
    installation.urls["orders_db_ui"] = nowhere
    line = the_problem(installation)
    assert line.startswith("PROBLEM      orders_db_ui: The orders database cannot be reached: ")
    assert "planted-password" not in line


def test_connection_is_found_when_it_is_missing(installation: Installation) -> None:
    del installation.urls["orders_db_ui"]
    assert "There is no Airflow connection 'orders_db_ui'" in the_problem(installation)


@pytest.mark.parametrize(
    ("connection", "role", "said"),
    [
        ("orders_db", "analyst", "lacks rights on core.open_cancel_requests, core.order_items, "),
        ("orders_db_ui", "analyst", "lacks rights on pii.order_contacts. Resolution: sign in as orders_ui"),
        ("orders_db_ui", "orders_rw", "may do more than it should"),
    ],
)
def test_role_is_found_when_a_connection_signs_in_as_another(
    installation: Installation, connection: str, role: str, said: str
) -> None:
    installation.urls[connection] = installation.urls[connection].set(username=role)
    assert f"{connection}: the role {role} {said}" in the_problem(installation)


def test_right_in_the_database_is_found_when_it_was_revoked(installation: Installation, admin_engine: Engine) -> None:
    with admin_engine.begin() as connection:
        connection.execute(text("revoke update on ops.order_outbox from orders_rw"))
    assert "orders_db: the role orders_rw lacks rights on ops.order_outbox. Resolution: " in the_problem(installation)


def test_page_is_found_when_it_reads_another_database(
    installation: Installation, admin_engine: Engine, database_url: URL, template: str
) -> None:
    other = f"{database_url.database}_other"
    with admin_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"create database {other} template {template} strategy file_copy"))
        connection.execute(text(f"grant connect on database {other} to orders_ui"))
    try:
        installation.urls["orders_db_ui"] = database_url.set(database=other, username="orders_ui")
        assert "orders_db_ui: it is not the database of orders_db" in the_problem(installation)
    finally:
        with admin_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"drop database {other} with (force)"))


def test_key_is_found_when_stored_contacts_need_another(installation: Installation) -> None:
    road = installation.road
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=10)
    road.orders_run()
    assert "stored contacts can be decrypted" in str(installation.check()[3])
    road.cipher = PersonalDataCipher([Fernet.generate_key().decode()])
    assert the_problem(installation).startswith(
        "PROBLEM      ORDERS_PII_KEYS: Stored personal data cannot be decrypted"
    )


@pytest.mark.parametrize(("slots", "said"), [(None, "no such pool"), (0, "no slot in it")])
def test_pool_is_found_when_tasks_would_wait_for_ever(slots: int | None, said: str) -> None:
    pools = {"default_pool": 128, "amazon_search_orders": 4, "amazon_confirm_shipment": -1}
    pools |= {} if slots is None else {"commerce_writes": slots}
    findings = list(check_setup.check_pools(pools))
    assert [finding.state for finding in findings] == ["OK", "OK", "PROBLEM"]
    assert said in findings[2].words
    assert "airflow pools import include/pools.json" in findings[2].words
