"""docker-compose.yaml and Dockerfile: valid, closed to the outside, and without a password of their own."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from include.settings import Settings, variable
from local import environment

CHECKOUT = Path(__file__).parents[2]
COMPOSE_TEXT = (CHECKOUT / "docker-compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
DOCKERIGNORE = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
# Only these may be left out of .env.
OPTIONAL = {"AIRFLOW_PORT", "DATABASE_PORT", "WORKER_CONCURRENCY"}
# Variables of the images' own start scripts; one of ours with such a name would change what they do.
TAKEN = re.compile(r"^(DB_(HOST|PORT|BACKEND)|CONNECTION_.*|PG.*|POSTGRES_.*|REDIS_(HOST|PORT))$")


def check_against_the_specification(file: Path) -> subprocess.CompletedProcess[str]:
    """Validate a Compose file against the Compose specification's own JSON schema, which check-jsonschema ships."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_compose_file_is_valid_when_checked_against_the_specification() -> None:
    checked = check_against_the_specification(CHECKOUT / "docker-compose.yaml")
    assert checked.returncode == 0, checked.stdout


def test_specification_is_violated_when_a_service_has_an_unknown_key(tmp_path: Path) -> None:
    broken = {**COMPOSE, "services": {**COMPOSE["services"], "redis": {"image": "redis:8", "no_such_key": 1}}}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(broken), encoding="utf-8")
    checked = check_against_the_specification(tmp_path / "compose.yaml")
    assert checked.returncode != 0
    assert "no_such_key" in checked.stdout


def test_services_are_the_expected_ones_when_listed() -> None:
    expected = {"postgres", "redis", "migrate", "api-server", "scheduler", "dag-processor", "worker", "sandbox"}
    assert set(COMPOSE["services"]) == expected
    assert COMPOSE["services"]["sandbox"]["profiles"] == ["sandbox"]


def test_variable_without_a_default_is_required_when_the_env_file_lacks_it() -> None:
    variables = re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", COMPOSE_TEXT)
    assert len(variables) > 10
    assert {name for name, rule in variables if rule.startswith(":-")} == OPTIONAL
    assert [name for name, rule in variables if name not in OPTIONAL and not rule.startswith(":?")] == []


def test_no_variable_has_a_meaning_to_an_image_when_it_is_set_in_the_env_file() -> None:
    variables = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE_TEXT))
    assert [name for name in variables if TAKEN.match(name)] == []


def test_lost_workers_schedulers_and_queues_are_noticed_soon_when_compose_runs_them() -> None:
    for name in ("scheduler", "api-server", "worker"):
        environment = COMPOSE["services"][name]["environment"]
        seconds = {
            option: int(environment[f"AIRFLOW__SCHEDULER__{option}"])
            for option in (
                "TASK_INSTANCE_HEARTBEAT_TIMEOUT",
                "ORPHANED_TASKS_CHECK_INTERVAL",
                "TASK_QUEUED_TIMEOUT",
                "TASK_QUEUED_TIMEOUT_CHECK_INTERVAL",
            )
        }
        assert max(seconds.values()) <= 180


def test_queue_is_kept_on_a_volume_when_redis_is_restarted() -> None:
    redis = COMPOSE["services"]["redis"]
    assert redis["command"][redis["command"].index("--appendonly") + 1] == "yes"
    assert redis["volumes"] == ["redis:/data"]
    assert "redis" in COMPOSE["volumes"]


def test_sandbox_is_open_to_every_worker_when_there_are_several() -> None:
    sandbox, worker = COMPOSE["services"]["sandbox"], COMPOSE["services"]["worker"]
    assert "network_mode" not in sandbox
    assert sandbox["command"][3:5] == ["--host", "0.0.0.0"]
    assert "SANDBOX_HOST" in worker["environment"]
    assert {"source": "sandbox-loopback", "target": "/opt/airflow/sandbox_loopback.py"} in worker["configs"]
    assert "container_name" not in worker and "ports" not in worker, "a second one could not be started"


def test_compose_env_has_the_sandbox_s_connections_when_they_are_compared() -> None:
    lines = (CHECKOUT / "local" / "sandbox" / "compose.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert given.pop("SANDBOX_HOST") == "sandbox"
    ports = {environment.PORTS[name][0]: str(port) for name, port in (("amazon", 8801), ("commerce", 8802))}
    wanted = environment.sandbox_connections({"amazon": 8801, "commerce": 8802})
    assert {name: value.strip("'") for name, value in given.items()} | ports == wanted


def test_jwt_secret_is_long_enough_when_it_is_made_as_the_env_file_says() -> None:
    example = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
    (size,) = re.findall(r"`openssl rand -hex (\d+)`: Airflow calls a JWT secret", example)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jwt.encode({"sub": "task"}, secrets.token_hex(int(size)), algorithm="HS512")


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_secret_comes_from_a_variable_when_a_service_names_one(name: str) -> None:
    service = COMPOSE["services"][name]
    environment = service.get("environment", {})
    secret = re.compile("PASSWORD|SECRET|FERNET|PII_KEYS|CONN|BROKER|RESULT_BACKEND|ADMIN_URL")
    for name, value in environment.items():
        if secret.search(name) and value is not None and not name.endswith("_FILE"):
            assert "${" in value, name


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_port_is_open_to_this_machine_only_when_published(name: str) -> None:
    for port in COMPOSE["services"][name].get("ports", []):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", sorted(set(COMPOSE["services"]) - {"migrate"}))
def test_service_is_restarted_when_it_hangs_or_ends(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", ["api-server", "scheduler", "dag-processor", "worker"])
def test_airflow_service_waits_when_databases_are_not_migrated(name: str) -> None:
    assert COMPOSE["services"][name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize(
    ("name", "services"),
    [
        ("AIRFLOW_CONN_ORDERS_DB", {"worker"}),
        ("AIRFLOW_CONN_ORDERS_DB_UI", {"api-server"}),
        ("AIRFLOW_CONN_ORDERS_DB_ANALYST", {"worker"}),
        ("AIRFLOW_CONN_AMAZON_SP_API", {"worker"}),
        ("AIRFLOW_CONN_COMMERCE_API", {"worker"}),
        ("ORDERS_PII_KEYS", {"worker", "api-server"}),
        ("ORDERS_DB_ADMIN_URL", {"migrate"}),
        ("POSTGRES_PASSWORD", {"postgres"}),
    ],
)
def test_secret_reaches_no_other_service_when_only_some_need_it(name: str, services: set[str]) -> None:
    holders = {service for service, facts in COMPOSE["services"].items() if name in facts.get("environment", {})}
    assert holders == services


def test_connections_have_their_database_roles_when_read_as_json() -> None:
    connections = {
        name: json.loads(value)
        for service in COMPOSE["services"].values()
        for name, value in service.get("environment", {}).items()
        if name.startswith("AIRFLOW_CONN_ORDERS_DB") and value
    }
    assert {name: connection["login"] for name, connection in connections.items()} == {
        "AIRFLOW_CONN_ORDERS_DB": "orders_rw",
        "AIRFLOW_CONN_ORDERS_DB_UI": "orders_ui",
        "AIRFLOW_CONN_ORDERS_DB_ANALYST": "analyst",
    }


def test_exports_are_kept_on_a_volume_when_the_worker_writes_them() -> None:
    worker = COMPOSE["services"]["worker"]
    folder = Settings().export_folder
    assert set(worker["volumes"]) == {*COMPOSE["x-airflow"]["volumes"], f"exports:{folder}"}
    assert "exports" in COMPOSE["volumes"]
    assert folder in DOCKERFILE, "a new volume takes the owner of the folder it is mounted on"


def test_every_setting_is_handed_on_when_one_is_added() -> None:
    # A secret goes only to the services that need it, each by name.
    expected = {variable(setting) for setting in fields(Settings) if not setting.metadata["secret"]}
    assert set(COMPOSE["x-settings"]) == expected
    assert set(COMPOSE["x-settings"].values()) == {None}  # handed on if set, absent otherwise


def _stages() -> dict[str, tuple[str, list[str]]]:
    """The stages of the Dockerfile in order: name -> (what it starts from, what it copies from the checkout)."""
    stages: dict[str, tuple[str, list[str]]] = {}
    for base, name, body in re.findall(
        r"^FROM (\S+) AS (\w+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL
    ):
        stages[name] = base, re.findall(r"^COPY (?:--\S+ )*(\S+) \S+$", body, re.MULTILINE)
    return stages


def _contents(stage: str) -> set[str]:
    """What an image holds of the checkout: its own stage's copies and those of the stages it is built from."""
    stages, found = _stages(), set[str]()
    while stage in stages:
        stage, copied = stages[stage]
        found |= set(copied)
    return found


@pytest.mark.parametrize(
    ("target", "contents"),
    [
        ("product", {"requirements.txt", "include", "plugins", "dags"}),
        ("sandbox", {"requirements.txt", "local"}),
    ],
)
def test_image_holds_only_what_it_runs_when_built(target: str, contents: set[str]) -> None:
    assert _contents(target) == contents
    assert all(f"!{name}" in DOCKERIGNORE for name in contents)
    assert DOCKERFILE.count("COPY ") == sum(len(copied) for _, copied in _stages().values())


def test_image_is_the_product_when_no_target_is_named() -> None:
    assert list(_stages())[-1] == "product"


def test_service_builds_its_own_image_when_started() -> None:
    builds = {
        name: (service["image"], service["build"]["target"])
        for name, service in COMPOSE["services"].items()
        if "build" in service
    }
    sandbox = ("amazon-commerce-orders-sandbox:local", "sandbox")
    product = ("amazon-commerce-orders:local", "product")
    airflow = ("migrate", "api-server", "scheduler", "dag-processor", "worker")
    # Two targets under one image name would overwrite each other.
    assert builds == {"sandbox": sandbox} | dict.fromkeys(airflow, product)


def test_sandbox_module_exists_when_its_service_starts() -> None:
    module = COMPOSE["services"]["sandbox"]["command"][:3]
    assert module == ["python", "-m", "local.sandbox"]
    assert (CHECKOUT / "local" / "sandbox" / "__main__.py").exists()


def test_base_image_has_the_pinned_version_when_airflow_is_upgraded() -> None:
    pinned = re.search(
        r"^apache-airflow==(\S+)", (CHECKOUT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    base = re.search(r"^FROM apache/airflow:slim-([\d.]+)-python3\.11 AS base$", DOCKERFILE, re.MULTILINE)
    assert pinned and base
    assert base.group(1) == pinned.group(1)


def test_image_runs_without_root_and_checks_hashes_when_built() -> None:
    assert "USER" not in DOCKERFILE  # stays with the base image's own user, which is not root
    assert "--require-hashes" in DOCKERFILE
    assert "GX_ANALYTICS_ENABLED=false" in DOCKERFILE
