"""Adds Recent Orders to Airflow's navigation and mounts its pages in the API server, for signed-in users only.

Every Airflow component imports this file, so nothing heavy is imported before the API server asks for the app.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from include.settings import Settings

if TYPE_CHECKING:
    from include.pages.shell.page import PageSource

log = logging.getLogger(__name__)

ORDERS_DAG = "amazon_orders_to_commerce"
URL_PREFIX = "/recent-orders"


class RecentOrdersPlugin(AirflowPlugin):
    """The page and its entry in the navigation."""

    name = "recent_orders"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Made when the API server mounts it."""
        from include.pages.shell.app import create_app

        app = create_app(require_access=_access_check(), open_source=_open_source, sign_in_url=_sign_in_url())
        return [{"app": app, "url_prefix": URL_PREFIX, "name": "Recent Orders"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The frame's address includes the path under which Airflow is served; the slash at the end is part of it."""
        return [
            {
                "name": "Recent Orders",
                "href": f"{_base_path()}{URL_PREFIX}/",
                "url_route": "recent-orders",
                "destination": "nav",
            }
        ]


def _base_path() -> str:
    """The path under which Airflow is served, without a slash at its end."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


def _sign_in_url() -> str:
    """Airflow's sign-in, whatever auth manager it has, which leads back to the page inside Airflow."""
    return f"{_base_path()}/api/v2/auth/login?{urlencode({'next': f'{_base_path()}/plugin/recent-orders'})}"


def _access_check() -> Callable[..., object]:
    """Whoever can read the runs of the orders DAG can see orders. Without Airflow's check, nobody can."""
    try:
        from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
        from airflow.api_fastapi.core_api.security import requires_access_dag
    except ImportError:
        log.exception(
            "recent_orders: Airflow's access check cannot be imported; nobody can open the pages. "
            "Resolution: use the Airflow version of requirements.txt."
        )
        return _refuse_everybody
    return requires_access_dag("GET", DagAccessEntity.RUN, ORDERS_DAG)


def _refuse_everybody() -> None:
    from fastapi import HTTPException

    raise HTTPException(503)


def _open_source() -> PageSource:
    from include.connections import open_database
    from include.pages.shell.page import PageSource

    settings = Settings.from_environment()
    return PageSource(
        engine=open_database(
            "orders_db_ui",
            application_name="orders_ui",
            lock_timeout=settings.lock_timeout,
            statement_timeout=settings.statement_timeout,
        ),
        page_size=settings.recent_orders_page_size,
        pii_keys=settings.pii_key_list(),
    )
