"""Fixtures: one embedded PostgreSQL per worker, a freshly migrated database per test, and the sandbox servers.

Run in parallel (`make test`), each of pytest-xdist's workers is a session of its own: no server is shared, so no test
sees the sessions, locks or roles of another, and whoever started a server stops it.
"""

from __future__ import annotations

import copy
import gc
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from include.adapters.amazon import client as amazon_client
from include.database.engine import make_engine
from include.database.migrate import migrate
from include.expectations.order_lines import ValidationReport, validate_lines
from include.expectations.rules import RULES, CheckedLine, Rule
from include.outbox import order_checks
from local import postgres
from local.sandbox.scenario import build
from local.sandbox.seeds import Scenario
from local.sandbox.servers import Sandbox
from tests.support.installation import migrate_airflow
from tests.support.plain_rules import validate_lines as plain_validation
from tests.support.road import Road
from tests.support.warm_airflow import SOCKET_VARIABLE, WarmAirflow, WarmProcess

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

CHECKOUT = Path(__file__).parents[1]
_MEMORY = "/dev/shm"
_ROOM_BYTES = 8 * 2**30  # a worker needs less than one GiB
_numbers = itertools.count(1)
# The longest files, which pytest-xdist then gives out first: no worker ends long after the others. A file is never
# divided among workers, so that its fixtures are set up once.
_FIRST = (
    "test_story",
    "test_more_than_one_machine",
    "test_dags_in_airflow",
    "test_approve_held_writes_in_airflow",
    "test_history_in_airflow",
    "test_red_runs",
    "test_check_setup_in_airflow",
    "test_no_personal_data_leaks",
    "test_recent_orders_browser",
    "test_faults_at_every_step",
    "test_steps_killed",
    "test_steps_side_by_side",
    "test_exactly_once",
    "test_decision_table",
    "test_blockers",
    "test_embedded_postgres",
)


def pytest_configure(config: pytest.Config) -> None:
    """Offer one process that has imported Airflow to the whole session; it is started when it is first needed."""
    if not hasattr(config, "workerinput"):  # the workers of pytest-xdist get the variable
        warm = WarmProcess()
        config.add_cleanup(warm.stop)
        os.environ[SOCKET_VARIABLE] = warm.socket
    gc.disable()


def pytest_collection_finish() -> None:
    """What has been imported stays: looking through it for garbage, again and again, took a third of the collection."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _FIRST.index(item.path.stem) if item.path.stem in _FIRST else len(_FIRST))


@pytest.fixture(autouse=True)
def no_amazon_tokens() -> None:
    """No access token of an earlier test: its sandbox may have had the same port as this one's."""
    amazon_client._slots.clear()


# Removes the server when its standard input ends: with the session, or with a session that was killed.
_REMOVER = """
import shutil, sys
from pathlib import Path
sys.stdin.read()
from local import postgres
folder = Path(sys.argv[1])
postgres.remove(folder / "postgres")
shutil.rmtree(folder, ignore_errors=True)
"""


def _memory() -> str | None:
    """A folder in memory if there is room: a disk's file system takes ten times as long to copy a database."""
    if not os.access(_MEMORY, os.W_OK):
        return None
    found = os.statvfs(_MEMORY)
    is_roomy = found.f_bavail * found.f_frsize >= _ROOM_BYTES
    return _MEMORY if is_roomy and not found.f_flag & os.ST_NOEXEC else None


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.ServerAddress]:
    """An embedded PostgreSQL without durability, removed at the end of the session, however it ends."""
    folder = Path(tempfile.mkdtemp(prefix="orders-tests-", dir=_memory()))
    folder.chmod(0o755)  # as root the server runs as another user, who must get through
    remover = [sys.executable, "-c", _REMOVER, str(folder)]
    with subprocess.Popen(remover, cwd=CHECKOUT, stdin=subprocess.PIPE, start_new_session=True):
        address = postgres.start(folder / "postgres", durable=False)
        with _admin(address).connect() as connection:
            # The kernel copies a template's files in an eighth of the time.
            connection.execute(text("alter system set file_copy_method = 'clone'"))
            connection.execute(text("select pg_reload_conf()"))
        yield address


def _url(server: postgres.ServerAddress, database: str, user: str = postgres.SUPERUSER) -> URL:
    return URL.create("postgresql+psycopg", username=user, database=database, query={"host": str(server.socket_dir)})


def _admin(server: postgres.ServerAddress) -> Engine:
    return create_engine(_url(server, "postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)


@pytest.fixture(scope="session")
def template(server: postgres.ServerAddress) -> str:
    """A migrated database that the tests' databases are copied from."""
    with _admin(server).connect() as connection:
        connection.execute(text("create database template_orders"))
    engine = make_engine(_url(server, "template_orders"), application_name="tests")
    migrate(engine)
    return "template_orders"


@pytest.fixture(scope="session")
def warm_airflow() -> WarmAirflow:
    """The session's process that has imported Airflow."""
    return WarmAirflow(os.environ[SOCKET_VARIABLE])


@pytest.fixture(scope="session")
def airflow_template(
    warm_airflow: WarmAirflow, server: postgres.ServerAddress, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A database with Airflow's tables, to copy from: making them takes far longer."""
    name = "template_airflow"
    with _admin(server).connect() as connection:
        connection.execute(text(f"create database {name} owner airflow"))
    migrate_airflow(warm_airflow, tmp_path_factory.mktemp("airflow"), _url(server, name))
    return name


@pytest.fixture
def database_url(server: postgres.ServerAddress, template: str) -> Iterator[URL]:
    """The address (as superuser) of a migrated database of the test's own."""
    name = f"test_{next(_numbers)}"
    admin = _admin(server)
    with admin.connect() as connection:
        # Without durability copying files takes half the time of PostgreSQL's default, which writes all of it twice.
        connection.execute(text(f"create database {name} template {template} strategy file_copy"))
    yield _url(server, name)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """An engine on the test's own database, as the DAGs' role and with a pool as they have."""
    # As many as the threads of a step use at once: a new connection costs more than what most tests do with it.
    engine = make_engine(database_url.set(username="orders_rw"), application_name="tests", is_pooled=True, pool_size=10)
    yield engine
    engine.dispose()


@pytest.fixture
def admin_engine(database_url: URL) -> Engine:
    """An engine on the test's own database, as superuser."""
    return make_engine(database_url, application_name="tests")


@pytest.fixture
def scenario() -> Scenario:
    """The full scenario, begun now."""
    return build(datetime.now(UTC))


@pytest.fixture
def sandbox(scenario: Scenario) -> Iterator[Sandbox]:
    """Both sandbox servers playing the full scenario."""
    with Sandbox(scenario) as running:
        yield running


@pytest.fixture
def full_road(engine: Engine, sandbox: Sandbox, scenario: Scenario) -> Iterator[Road]:
    """The data path over the full scenario."""
    with Road(engine, sandbox, scenario) as road:
        yield road


@pytest.fixture
def road(engine: Engine, scenario: Scenario) -> Iterator[Road]:
    """The data path with the scenario's shop and sellers, without any order: the test brings its own."""
    empty = scenario.without_orders()
    with Sandbox(empty, enforce_rate_limits=False) as running, Road(engine, running, empty) as road:
        yield road


_reports: dict[str, ValidationReport] = {}


def _validate_once(lines: Sequence[CheckedLine], rules: Sequence[Rule] = RULES) -> ValidationReport:
    asked = repr((lines, rules))
    if asked not in _reports:
        _reports[asked] = validate_lines(lines, rules)
    return copy.deepcopy(_reports[asked])


@pytest.fixture(autouse=True)
def same_lines_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations takes half a second and depends on its input alone: many tests buy the same things."""
    monkeypatch.setattr(order_checks, "validate_lines", _validate_once)


@pytest.fixture
def plain_rules(same_lines_validated_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules run as plain Python in this process: for tests with many runs, whose subject is something else."""
    monkeypatch.setattr(order_checks, "validate_lines", plain_validation)
