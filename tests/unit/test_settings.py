"""Settings come from the environment once, typed; a bad one is named, a secret never shown."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import Field, FrozenInstanceError, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError
from include.settings import _SCHEDULE_PRESETS, Settings, _warn_unknown, shown_default, variable

CHECKOUT = Path(__file__).parents[2]

NUMBERS = [setting for setting in fields(Settings) if isinstance(setting.default, int | timedelta)]
SCHEDULES = [setting for setting in fields(Settings) if setting.name.endswith("_schedule")]
TEXTS = [setting for setting in fields(Settings) if isinstance(setting.default, str) and setting not in SCHEDULES]


def test_settings_are_the_defaults_when_the_environment_is_empty() -> None:
    assert Settings.from_environment({}) == Settings()


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_number_is_read_in_its_unit_when_it_is_set(setting: Field[Any]) -> None:
    settings = Settings.from_environment({variable(setting): " 11 "})
    unit = setting.metadata["unit"]
    assert getattr(settings, setting.name) == (timedelta(**{unit: 11}) if unit else 11)
    assert settings != Settings()


@pytest.mark.parametrize("setting", TEXTS, ids=lambda setting: setting.name)
def test_text_is_read_when_it_is_set(setting: Field[Any]) -> None:
    assert getattr(Settings.from_environment({variable(setting): "some text"}), setting.name) == "some text"


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("value", ["many", "1.5", "30s", "1e3", "0x10", "-1"])
def test_error_names_the_variable_when_its_value_is_not_a_whole_number(setting: Field[Any], value: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        Settings.from_environment({variable(setting): value})
    assert variable(setting) in str(caught.value)


def test_setting_is_the_default_when_its_variable_is_empty() -> None:
    assert Settings.from_environment({"ORDERS_TASK_RETRIES": "", "ORDERS_STORES_FILE": ""}) == Settings()


def test_variables_of_the_process_are_read_when_no_others_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_CREATE_LIMIT", "12")
    assert Settings.from_environment().create_limit == 12


def test_settings_show_no_secret_when_printed() -> None:
    settings = Settings(pii_keys="planted-key", db_admin_url="postgresql://admin:planted-word@db/orders")
    assert "planted" not in repr(settings)
    assert "create_limit=500" in repr(settings)


def test_settings_refuse_a_new_value_when_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().create_limit = 1  # type: ignore[misc]


def test_every_setting_says_what_it_means_when_listed() -> None:
    assert NUMBERS and TEXTS
    for setting in fields(Settings):
        assert setting.metadata["meaning"].endswith("."), setting.name


def test_keys_keep_their_order_when_there_are_several() -> None:
    assert Settings(pii_keys=" new , old,, ").pii_key_list() == ["new", "old"]
    assert Settings().pii_key_list() == []


def test_duration_is_refused_when_no_calendar_holds_it() -> None:
    with pytest.raises(MisconfiguredError, match="ORDERS_INITIAL_LOOKBACK_DAYS is too large"):
        Settings.from_environment({"ORDERS_INITIAL_LOOKBACK_DAYS": "9" * 20})


@pytest.mark.parametrize("setting", SCHEDULES, ids=lambda setting: setting.name)
@pytest.mark.parametrize("value", ["0 6-22/2 * * mon-fri", "@hourly", "@quarterly", " 7 * * * * "])
def test_schedule_is_read_when_it_is_an_expression_or_a_preset(setting: Field[Any], value: str) -> None:
    assert getattr(Settings.from_environment({variable(setting): value}), setting.name) == value.strip()


@pytest.mark.parametrize("setting", SCHEDULES, ids=lambda setting: setting.name)
def test_dag_has_no_schedule_when_it_is_off(setting: Field[Any]) -> None:
    assert getattr(Settings.from_environment({variable(setting): "off"}), setting.name) is None


@pytest.mark.parametrize("setting", SCHEDULES, ids=lambda setting: setting.name)
@pytest.mark.parametrize(
    "value",
    [
        "some text",
        "every 5 minutes or so",
        "61 * * * *",
        "* * * *",
        "* * * * * *",  # with seconds
        "0 0 31 2 *",  # never
        "@fortnightly",
        "@once",
        " ",
    ],
)
def test_variable_is_named_when_it_is_not_a_schedule(setting: Field[Any], value: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        Settings.from_environment({variable(setting): value})
    assert str(caught.value).startswith(f"{variable(setting)} is not a schedule: {value.strip()!r} (")
    assert "Resolution: use a cron expression in UTC" in str(caught.value)


def test_schedule_presets_are_those_of_airflow_when_compared() -> None:
    from airflow.sdk.definitions.timetables._cron import CRON_PRESETS

    assert set(_SCHEDULE_PRESETS) == set(CRON_PRESETS)


def test_cron_library_is_not_loaded_when_the_schedules_are_the_defaults() -> None:
    program = (
        "import sys; from include.settings import Settings; "
        "Settings.from_environment({'ORDERS_SYNC_SCHEDULE': '*/5 * * * *'}); "
        "sys.exit('croniter' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT).returncode == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ORDERS_CREATE_LIMITS", "did you mean ORDERS_CREATE_LIMIT?"),
        ("ORDERS_TASK_TIMEOUT", "did you mean ORDERS_TASK_TIMEOUT_SECONDS?"),
        ("ORDERS_XYZ", "see docs/configuration.md for the settings."),
    ],
)
def test_one_warning_is_logged_when_a_variable_is_unknown(
    caplog: pytest.LogCaptureFixture, name: str, hint: str
) -> None:
    _warn_unknown.cache_clear()
    for _ in range(3):
        assert Settings.from_environment({name: "planted-word"}) == Settings()
    assert caplog.messages == [f"{name} is not a setting and has no effect; {hint}"]
    assert caplog.records[0].levelno == logging.WARNING


def test_nothing_is_logged_when_a_variable_is_a_setting_or_not_ours(caplog: pytest.LogCaptureFixture) -> None:
    _warn_unknown.cache_clear()
    known = {variable(setting): shown_default(setting) for setting in fields(Settings)}
    others = {"ORDERS_SANDBOX_AMAZON_PORT": "8801", "AIRFLOW_CONN_ORDERS_DB": "{}", "ORDERS": "x", "DB_PASSWORD": "x"}
    assert Settings.from_environment(known | others) == Settings()
    assert caplog.messages == []
