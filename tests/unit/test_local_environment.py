"""The environment of one machine: complete, stable, and never over what the caller has set."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from local import environment, postgres
from local.sandbox import scenario

# With both databases named, nothing has to be started.
OWN_DATABASES = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://airflow@db.example/airflow",
    "AIRFLOW_CONN_ORDERS_DB": "postgres://orders_rw@db.example/orders",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "check'out"
    folder.mkdir()
    yield folder
    postgres.remove_state(folder)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_environment_is_complete_when_the_caller_has_set_nothing(checkout: Path) -> None:
    variables = environment.compute(checkout, {})
    assert variables["AIRFLOW_HOME"] == str(checkout / ".data" / "airflow")
    assert variables["AIRFLOW__CORE__DAGS_FOLDER"] == str(checkout / "dags")
    assert variables["PYTHONPATH"] == str(checkout)
    assert variables["GX_ANALYTICS_ENABLED"] == "false"
    port = variables["AIRFLOW__API__PORT"]
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"http://127.0.0.1:{port}/execution/"
    folder = str(postgres.address_of(environment.database_dir(checkout)).socket_dir)
    for connection_id, role in (
        ("ORDERS_DB", "orders_rw"),
        ("ORDERS_DB_UI", "orders_ui"),
        ("ORDERS_DB_ANALYST", "analyst"),
    ):
        connection = json.loads(variables[f"AIRFLOW_CONN_{connection_id}"])
        assert connection == {
            "conn_type": "postgres", "host": folder, "port": 5432, "login": role, "schema": "orders",
        }  # fmt: skip
    for variable, expected in (
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", ("airflow", "airflow")),
        ("ORDERS_DB_ADMIN_URL", ("postgres", "orders")),
    ):
        engine = create_engine(variables[variable])
        with engine.connect() as connected:
            assert connected.execute(text("select current_user, current_database()")).one() == expected
        engine.dispose()


def test_environment_is_the_same_when_computed_again(checkout: Path) -> None:
    first = environment.compute(checkout, OWN_DATABASES)
    assert environment.compute(checkout, OWN_DATABASES) == first
    # A shell that has taken the variables over gets nothing new.
    assert environment.compute(checkout, {**OWN_DATABASES, **first}) == {}


@pytest.mark.parametrize(
    "variable",
    [
        "AIRFLOW_HOME",
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW_CONN_AMAZON_SP_API",
        "AIRFLOW_CONN_AMAZON_SP_API_EU",
        "AIRFLOW_CONN_COMMERCE_API",
        "AIRFLOW_CONN_ORDERS_DB_UI",
        "ORDERS_PII_KEYS",
        "NO_PROXY",
    ],
)
def test_variable_is_left_alone_when_the_caller_has_set_it(checkout: Path, variable: str) -> None:
    assert variable in environment.compute(checkout, OWN_DATABASES)
    assert variable not in environment.compute(checkout, {**OWN_DATABASES, variable: "the caller's"})


def test_option_is_left_alone_when_the_caller_names_a_command_for_it(checkout: Path) -> None:
    variables = environment.compute(checkout, {**OWN_DATABASES, "AIRFLOW__CORE__FERNET_KEY_CMD": "cat key"})
    assert "AIRFLOW__CORE__FERNET_KEY" not in variables


def test_checkout_is_put_in_front_when_the_caller_has_a_search_path(checkout: Path) -> None:
    variables = environment.compute(checkout, {**OWN_DATABASES, "PYTHONPATH": "/elsewhere"})
    assert variables["PYTHONPATH"] == f"{checkout}:/elsewhere"


def test_embedded_server_is_not_started_when_the_caller_names_both_databases(checkout: Path) -> None:
    variables = environment.compute(checkout, OWN_DATABASES)
    assert not environment.needs_embedded_postgres(checkout, OWN_DATABASES)
    assert not environment.database_dir(checkout).exists()
    assert "ORDERS_DB_ADMIN_URL" not in variables
    own = OWN_DATABASES["AIRFLOW_CONN_ORDERS_DB"]
    assert variables["AIRFLOW_CONN_ORDERS_DB_UI"] == variables["AIRFLOW_CONN_ORDERS_DB_ANALYST"] == own


def test_embedded_server_is_needed_when_the_caller_names_one_database_only(checkout: Path) -> None:
    for name, value in OWN_DATABASES.items():
        assert environment.needs_embedded_postgres(checkout, {name: value})


def test_embedded_server_is_started_when_a_shell_names_our_own_server(checkout: Path) -> None:
    variables = environment.compute(checkout, {})
    postgres.stop(environment.database_dir(checkout))
    assert environment.compute(checkout, variables) == {}
    assert postgres.is_running(environment.database_dir(checkout))


def test_sandbox_connections_fit_the_scenario_when_compared(checkout: Path) -> None:
    variables = environment.compute(checkout, OWN_DATABASES)
    story = scenario.build(datetime(2026, 11, 21, tzinfo=UTC))
    assert {application.region for application in story.applications} == {"na", "eu", "fe"}
    amazon = f"http://127.0.0.1:{variables['ORDERS_SANDBOX_AMAZON_PORT']}"
    for application in story.applications:
        variable = {"na": "AMAZON_SP_API", "eu": "AMAZON_SP_API_EU", "fe": "AMAZON_SP_API_FE"}[application.region]
        connection = json.loads(variables[f"AIRFLOW_CONN_{variable}"])
        assert (connection["conn_type"], connection["host"]) == ("http", amazon)
        assert connection["extra"] == {
            "token_url": f"{amazon}/auth/o2/token",
            "client_id": application.client_id,
            "client_secret": application.client_secret,
            "refresh_token": application.refresh_token,
            "seller_id": application.seller_id,
            "region": application.region,
        }
    commerce = json.loads(variables["AIRFLOW_CONN_COMMERCE_API"])
    assert commerce["host"] == f"http://127.0.0.1:{variables['ORDERS_SANDBOX_COMMERCE_PORT']}"
    assert commerce["extra"]["consumer_secret"] == story.commerce.consumer_secret
    assert commerce["extra"]["admin_url"] == f"{commerce['host']}/admin"
    assert (commerce["extra"]["auth"], commerce["extra"]["edition"]) == ("oauth1", "paas")


def test_secrets_are_private_and_all_different_when_written(checkout: Path) -> None:
    variables = environment.compute(checkout, OWN_DATABASES)
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((checkout / ".data" / name).stat().st_mode) == 0o600
    user, password = environment.sign_in(checkout)
    kept = Path(variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).read_text(encoding="utf-8")
    assert json.loads(kept) == {user: password}
    assert variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == f"{user}:admin"
    names = [name for name in variables if "LOGGING" not in name]
    secrets = [variables[name] for name in names if "KEY" in name or "SECRET" in name]
    assert len(set(secrets)) == len(secrets) == 4


def test_another_port_is_chosen_when_the_first_choice_is_taken(
    checkout: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(environment.PORTS, "airflow", ("AIRFLOW__API__PORT", taken_port))
    chosen = environment.compute(checkout, OWN_DATABASES)["AIRFLOW__API__PORT"]
    assert int(chosen) > taken_port
    assert environment.compute(checkout, OWN_DATABASES)["AIRFLOW__API__PORT"] == chosen


def test_port_is_renewed_when_a_remembered_one_is_taken(checkout: Path, taken_port: int) -> None:
    environment.compute(checkout, OWN_DATABASES)
    path = checkout / ".data" / "ports.json"
    remembered = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**remembered, "commerce": taken_port}), encoding="utf-8")
    # While our own sandbox may be the one that listens, the port stays.
    assert environment.compute(checkout, OWN_DATABASES)["ORDERS_SANDBOX_COMMERCE_PORT"] == str(taken_port)
    environment.renew_ports(checkout, OWN_DATABASES)
    renewed = environment.compute(checkout, OWN_DATABASES)
    assert renewed["ORDERS_SANDBOX_COMMERCE_PORT"] != str(taken_port)
    assert renewed["ORDERS_SANDBOX_AMAZON_PORT"] == str(remembered["amazon"])


def test_error_names_the_variable_when_the_caller_chose_a_taken_port(checkout: Path, taken_port: int) -> None:
    caller = {**OWN_DATABASES, "ORDERS_SANDBOX_AMAZON_PORT": str(taken_port)}
    variables = environment.compute(checkout, caller)
    assert json.loads(variables["AIRFLOW_CONN_AMAZON_SP_API"])["host"].endswith(f":{taken_port}")
    with pytest.raises(ValueError, match="ORDERS_SANDBOX_AMAZON_PORT"):
        environment.renew_ports(checkout, caller)


def test_exported_values_are_the_same_when_a_shell_reads_them() -> None:
    values = {"PLAIN": "a", "QUOTED": 'it\'s $HOME `x` "y"\nz', "EMPTY": ""}
    script = environment.exports(values) + 'printf "%s|%s|%s" "$PLAIN" "$QUOTED" "$EMPTY"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "|".join(values.values())
    assert said.stderr == ""
