"""Settings come from the environment once, typed; a bad one is named, a secret never shown."""

from __future__ import annotations

from dataclasses import Field, FrozenInstanceError, fields
from datetime import timedelta
from typing import Any

import pytest

from include.domain.errors import MisconfiguredError
from include.settings import Settings, variable

NUMBERS = [setting for setting in fields(Settings) if isinstance(setting.default, int | timedelta)]
TEXTS = [setting for setting in fields(Settings) if isinstance(setting.default, str)]


def test_settings_when_the_environment_is_empty_are_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_number_when_it_is_set(setting: Field[Any]) -> None:
    settings = Settings.from_environment({variable(setting): " 7 "})
    unit = setting.metadata["unit"]
    assert getattr(settings, setting.name) == (timedelta(**{unit: 7}) if unit else 7)
    assert settings != Settings()


@pytest.mark.parametrize("setting", TEXTS, ids=lambda setting: setting.name)
def test_text_when_it_is_set(setting: Field[Any]) -> None:
    assert getattr(Settings.from_environment({variable(setting): "some text"}), setting.name) == "some text"


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
@pytest.mark.parametrize("value", ["many", "1.5", "30s", "1e3", "0x10", "-1"])
def test_number_when_it_is_none_names_the_variable(setting: Field[Any], value: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        Settings.from_environment({variable(setting): value})
    assert variable(setting) in str(caught.value)


def test_setting_when_it_is_empty_is_the_default() -> None:
    assert Settings.from_environment({"ORDERS_TASK_RETRIES": "", "ORDERS_STORES_FILE": ""}) == Settings()


def test_settings_when_read_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_CREATE_LIMIT", "12")
    assert Settings.from_environment().create_limit == 12


def test_settings_when_printed_show_no_secret() -> None:
    settings = Settings(pii_keys="planted-key", db_admin_url="postgresql://admin:planted-word@db/orders")
    assert "planted" not in repr(settings)
    assert "create_limit=500" in repr(settings)


def test_settings_when_changed_refuse() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().create_limit = 1  # type: ignore[misc]


def test_every_setting_when_listed_says_what_it_means_and_its_unit() -> None:
    assert NUMBERS and TEXTS
    for setting in fields(Settings):
        assert setting.metadata["meaning"].endswith("."), setting.name


def test_keys_when_there_are_several_keep_their_order() -> None:
    assert Settings(pii_keys=" new , old,, ").pii_key_list() == ["new", "old"]
    assert Settings().pii_key_list() == []


def test_duration_is_refused_when_no_calendar_holds_it() -> None:
    with pytest.raises(MisconfiguredError, match="ORDERS_INITIAL_LOOKBACK_DAYS is too large"):
        Settings.from_environment({"ORDERS_INITIAL_LOOKBACK_DAYS": "9" * 20})
