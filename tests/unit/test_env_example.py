""".env.example names every setting and every variable of docker-compose.yaml, with the defaults that the code has."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from include.settings import PREFIX, Settings, shown_default, variable

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
COMPOSE = (CHECKOUT / "docker-compose.yaml").read_text(encoding="utf-8")
ACTIVE = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", TEXT, re.MULTILINE))
COMMENTED = dict(re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", TEXT, re.MULTILINE))
ALL = ACTIVE | COMMENTED
CONNECTIONS = {name: value.strip("'") for name, value in ALL.items() if name.startswith("AIRFLOW_CONN_")}
SETTINGS = {variable(setting): setting for setting in fields(Settings)}
FILES = ("ORDERS_STORES_FILE", "ORDERS_CARRIERS_FILE")


def test_every_setting_is_named_when_one_is_added_or_removed() -> None:
    assert {name for name in ALL if name.startswith(PREFIX)} == set(SETTINGS)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_default_is_that_of_the_code_when_a_setting_changes(name: str) -> None:
    setting = SETTINGS[name]
    shown = ALL[name].strip("'")
    if name in FILES:  # a place in the checkout; the code has it absolute
        assert (CHECKOUT / shown).resolve() == Path(setting.default).resolve()
    else:
        assert shown == shown_default(setting)


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - {"ORDERS_PII_KEYS"}))
def test_meaning_is_that_of_the_code_when_a_setting_changes(name: str) -> None:
    assert f"# {SETTINGS[name].metadata['meaning']}\n#{name}=" in TEXT


def test_settings_are_the_defaults_when_every_line_is_uncommented() -> None:
    given = {name: value.strip("'") for name, value in COMMENTED.items() if name.startswith(PREFIX)}
    given |= {name: SETTINGS[name].default for name in FILES}
    assert Settings.from_environment(given) == Settings()


def test_variable_is_active_when_compose_requires_it() -> None:
    required = set(re.findall(r"(?<!\$)\$\{(\w+):\?", COMPOSE))
    assert len(required) > 10
    assert required == set(ACTIVE)


def test_variable_shows_the_default_when_compose_has_one() -> None:
    optional = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", COMPOSE))
    assert optional
    assert optional == {name: COMMENTED[name] for name in optional}


def test_variable_is_listed_when_compose_hands_it_on() -> None:
    handed_on = set(re.findall(r"^ +((?:ORDERS|AIRFLOW_CONN)_\w+):$", COMPOSE, re.MULTILINE))
    assert {"AIRFLOW_CONN_AMAZON_SP_API_EU", "ORDERS_CREATE_LIMIT"} <= handed_on
    assert handed_on <= set(COMMENTED)


def test_no_secret_is_filled_in_when_the_file_is_shared() -> None:
    filled = {name for name, value in ACTIVE.items() if value and not name.startswith("AIRFLOW_CONN_")}
    assert filled == set()
    for value in CONNECTIONS.values():
        document = json.loads(value)
        for key in ("client_secret", "refresh_token", "consumer_secret", "access_token_secret", "access_token"):
            assert document["extra"].get(key, "EXAMPLE").endswith("EXAMPLE")
        assert document.get("password", "EXAMPLE") == "EXAMPLE"


def test_header_lists_every_connection_when_one_is_added() -> None:
    header = TEXT.partition("# --- Docker Compose: required")[0]
    listed = set(re.findall(r"^#   (amazon_sp_api\w*|commerce_api|orders_db\w*) ", header, re.MULTILINE))
    assert listed == {name.removeprefix("AIRFLOW_CONN_").lower() for name in CONNECTIONS}


def test_hosts_are_called_by_https_when_a_connection_is_copied() -> None:
    hosts = [json.loads(value)["host"] for name, value in CONNECTIONS.items() if "ORDERS_DB" not in name]
    assert len(hosts) == 4
    assert all(host.startswith("https://") for host in hosts)


def test_values_are_the_same_when_a_shell_reads_the_file(tmp_path: Path) -> None:
    uncommented = tmp_path / "env"
    uncommented.write_text(re.sub(r"^#([A-Z][A-Z0-9_]*=)", r"\1", TEXT, flags=re.MULTILINE), encoding="utf-8")
    shell = subprocess.run(
        ["sh", "-c", 'set -a; . "$1"; env -0', "sh", str(uncommented)],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    read = dict(entry.partition("=")[::2] for entry in shell.stdout.split("\0") if entry)
    assert {name: value.strip("'") for name, value in ALL.items()}.items() <= read.items()
