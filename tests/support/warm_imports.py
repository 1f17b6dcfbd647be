"""What the process does that Airflow's commands are forked from, before the forks and at the begin of each."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHECKOUT = Path(__file__).parents[2]
_IMPORTED = (
    "airflow.__main__",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.cli.commands.api_server_command",
    "airflow.cli.commands.dag_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.db_command",
    "airflow.cli.commands.scheduler_command",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "include.resources",
    "include.retry_policy",
)
# Settings that Airflow reads while it is imported: whoever forks has these.
AT_IMPORT = {"AIRFLOW__CORE__PARALLELISM": "2", "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5"}
# And those that each fork reads again.
_READ_AGAIN = {("api", "base_url"), ("api", "host"), ("api", "port"), ("api", "workers")}

Reads = dict[tuple[bool, str, str], Any]  # (is of the SDK, section, key) -> value


def environment(folder: Path) -> dict[str, str]:
    """The variables of that process."""
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://airflow@/none?host=%2Fnowhere",
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "GX_ANALYTICS_ENABLED": "false",
        "NO_COLOR": "1",
        "PYTHONPATH": str(CHECKOUT),
        **AT_IMPORT,
    }


def import_everything() -> Reads:
    """Import what Airflow's commands need and build the API for tasks. Returns the settings that this has read."""
    gc.disable()
    importlib.import_module("great_expectations")  # before Airflow, which would log hundreds of its lines
    with _recorded() as reads:
        for module in _IMPORTED:
            importlib.import_module(module)
        _build_execution_api()
    gc.collect()
    gc.freeze()  # no fork looks through all of that for garbage, which would copy it, too
    gc.enable()
    return reads


def begin(reads: Reads) -> None:
    """Do in a fork what Airflow does with the environment when it is imported."""
    from airflow import configuration, settings
    from airflow.api_fastapi import app as api_server
    from airflow.cli import cli_config
    from airflow.sdk import configuration as sdk_configuration

    home = os.environ["AIRFLOW_HOME"]
    configuration.AIRFLOW_HOME = vars(settings)["AIRFLOW_HOME"] = home
    configuration.AIRFLOW_CONFIG = configuration.get_airflow_config(home)
    for each in (configuration, sdk_configuration):
        each.conf._default_values = each.create_default_config_parser(each.conf.configuration_description)
    _refuse_others(reads)
    settings.initialize()  # type: ignore[no-untyped-call]
    for argument, key in (
        (cli_config.ARG_API_SERVER_HOSTNAME, "host"),
        (cli_config.ARG_API_SERVER_PORT, "port"),
        (cli_config.ARG_API_SERVER_WORKERS, "workers"),
    ):
        argument.kwargs["default"] = configuration.conf.get("api", key)
    # As the module itself does it.
    base_url = configuration.conf.get("api", "base_url", fallback="").rstrip("/") + "/"
    path = urlsplit(base_url).path
    vars(api_server).update(API_BASE_URL=base_url, API_ROOT_PATH=path, AUTH_MANAGER_FASTAPI_APP_PREFIX=f"{path}auth")
    assert "airflow.api_fastapi.auth.managers.simple.simple_auth_manager" not in sys.modules  # it would have a copy


def _build_execution_api() -> None:
    """Build the API server's API for tasks, which `dags test` and the DAG processor have within them, too.

    Who asks for it in a fork gets this one, with its own start. Otherwise the first request builds its routes.
    """
    from airflow.api_fastapi import app as api_server
    from airflow.api_fastapi.execution_api import app as execution_api

    built = execution_api.create_task_execution_api_app()
    built._cadwyn_initialize()  # type: ignore[attr-defined]

    def prepared(lifespan: Any = execution_api.lifespan) -> Any:
        built.router.lifespan_context = lifespan
        return built

    for module in (execution_api, api_server):
        vars(module)["create_task_execution_api_app"] = prepared


@contextmanager
def _recorded() -> Iterator[Reads]:
    reads: Reads = {}

    def record(parser: Any, *, is_sdk: bool) -> None:
        get = parser.get

        def recording(section: str, key: str, *arguments: Any, **options: Any) -> Any:
            reads[is_sdk, section.lower(), key.lower()] = get(section, key, fallback=None)
            return get(section, key, *arguments, **options)

        parser.get = recording

    parsers = _parsers()
    for is_sdk, parser in parsers.items():
        record(parser, is_sdk=is_sdk)
    try:
        yield reads
    finally:
        for parser in parsers.values():
            del parser.get


def _parsers() -> dict[bool, Any]:
    from airflow import configuration
    from airflow.sdk import configuration as sdk_configuration

    return {False: configuration.conf, True: sdk_configuration.conf}


def _refuse_others(reads: Reads) -> None:
    """Raise if a setting of this fork is another than the one that Airflow has been imported with."""
    parsers = _parsers()
    # Celery's workers are no forks, and nobody else runs the tasks then.
    has_tasks = parsers[False].get("core", "executor") == "LocalExecutor"
    others = [
        f"{section}.{key}"
        for (is_sdk, section, key), value in reads.items()
        if (has_tasks or not is_sdk)
        and (section, key) not in _READ_AGAIN
        and parsers[is_sdk].get(section, key, fallback=None) != value
    ]
    if others:
        raise RuntimeError(f"Airflow was imported with other values of: {', '.join(sorted(others))}.")
