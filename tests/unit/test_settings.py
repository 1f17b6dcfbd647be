"""Settings come from the environment once, typed; a bad one is named, a secret never shown."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import timedelta

import pytest

from include.domain.errors import MisconfiguredError
from include.settings import PREFIX, Settings

NUMBERS = [knob.name for knob in fields(Settings) if isinstance(knob.default, int)]
TEXTS = [knob.name for knob in fields(Settings) if isinstance(knob.default, str)]


def test_settings_when_the_environment_is_empty_are_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


@pytest.mark.parametrize("name", NUMBERS)
def test_number_when_it_is_set(name: str) -> None:
    settings = Settings.from_environment({PREFIX + name.upper(): " 7 "})
    assert getattr(settings, name) == 7
    assert settings != Settings()


@pytest.mark.parametrize("name", TEXTS)
def test_text_when_it_is_set(name: str) -> None:
    assert getattr(Settings.from_environment({PREFIX + name.upper(): "some text"}), name) == "some text"


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["many", "1.5", "30s", "1e3", "0x10", "-1"])
def test_number_when_it_is_none_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        Settings.from_environment({PREFIX + name.upper(): value})
    assert PREFIX + name.upper() in str(caught.value)


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
    for knob in fields(Settings):
        assert knob.metadata["meaning"].endswith("."), knob.name


def test_keys_when_there_are_several_keep_their_order() -> None:
    assert Settings(pii_keys=" new , old,, ").pii_key_list() == ["new", "old"]
    assert Settings().pii_key_list() == []


def test_seconds_when_asked_for_are_a_timedelta() -> None:
    assert Settings(in_doubt_gap_seconds=90).seconds("in_doubt_gap_seconds") == timedelta(seconds=90)
