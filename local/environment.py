"""The environment variables with which this checkout's Airflow, sandbox and databases work together on one machine.

Whatever the caller has set is kept: connections, AIRFLOW_HOME, databases, ORDERS_*, any AIRFLOW__*. The rest follows
from the checkout's path, from secrets that are created once (`.data/secrets.json`, mode 600) and from ports that are
chosen once (`.data/ports.json`).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local import postgres
from local.sandbox import scenario
from local.sandbox.seeds import Scenario

CHECKOUT = Path(__file__).resolve().parents[1]
ADMIN_USER = "admin"
LOOPBACK = "127.0.0.1"

# server -> (variable with which the caller chooses its port, first port to try)
PORTS = {
    "amazon": ("ORDERS_SANDBOX_AMAZON_PORT", 8801),
    "commerce": ("ORDERS_SANDBOX_COMMERCE_PORT", 8802),
    "airflow": ("AIRFLOW__API__PORT", 8080),
}
AMAZON_CONNECTIONS = {"na": "amazon_sp_api", "eu": "amazon_sp_api_eu", "fe": "amazon_sp_api_fe"}
DATABASE_CONNECTIONS = {"orders_db": "orders_rw", "orders_db_ui": "orders_ui", "orders_db_analyst": "analyst"}

_METADATA_URL = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_ORDERS_DB = "AIRFLOW_CONN_ORDERS_DB"


def data_dir(checkout: Path) -> Path:
    """The folder for everything that this checkout stores locally, except, for root, the database's files."""
    return checkout / ".data"


def database_dir(checkout: Path) -> Path:
    """The folder with the files of the embedded PostgreSQL."""
    return postgres.state_dir(checkout) / "postgres"


def needs_embedded_postgres(checkout: Path, caller: Mapping[str, str]) -> bool:
    """Whether we must provide one of the two databases: the caller has not set both orders and Airflow's metadata.

    A shell that has evaluated `make -s env` has set them, to our own server; `checkout` is needed to recognize it.
    """
    if not (_is_set(_METADATA_URL, caller) and _is_set(_ORDERS_DB, caller)):
        return True
    folder = os.fspath(postgres.address_of(database_dir(checkout)).socket_dir)
    return quote(folder, safe="") in caller.get(_METADATA_URL, "") or folder in caller.get(_ORDERS_DB, "")


def compute(checkout: Path, caller: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to the environment `caller`. Starts the embedded PostgreSQL if it is needed.

    Raises EmbeddedPostgresError, OSError if the checkout is not writable, and ValueError if a port is not a number.
    """
    wanted: dict[str, str] = {}
    with locked(checkout):
        kept = _secrets(checkout)
        ports = _ports(checkout, caller)
    wanted |= _airflow(checkout, kept, ports["airflow"])
    wanted |= sandbox_connections(ports)
    wanted["ORDERS_PII_KEYS"] = kept["pii_key"]
    wanted["ORDERS_EXPORT_FOLDER"] = str(data_dir(checkout) / "exports")
    if needs_embedded_postgres(checkout, caller):
        wanted |= _databases(postgres.start(database_dir(checkout)), caller)
    if _ORDERS_DB in caller:
        # The pages must show the database that the DAGs write. A caller who wants the narrower roles sets them, too.
        wanted |= {_connection_variable(name): caller[_ORDERS_DB] for name in DATABASE_CONNECTIONS}
    additions = {name: value for name, value in wanted.items() if not _is_set(name, caller)}
    additions |= _search_path(checkout, caller)
    return additions


def exports(additions: Mapping[str, str]) -> str:
    """`additions` as shell code, one line each: export NAME='value'."""
    return "".join(
        "export {}='{}'\n".format(name, value.replace("'", "'\\''")) for name, value in sorted(additions.items())
    )


def sign_in(checkout: Path) -> tuple[str, str]:
    """User name and password of Airflow's local administrator."""
    with locked(checkout):
        return ADMIN_USER, _secrets(checkout)["admin_password"]


def renew_ports(checkout: Path, caller: Mapping[str, str]) -> None:
    """Replace each remembered port that another program has taken since. Call it only when nothing of ours listens.

    Raises ValueError if a port that the caller chose is in use.
    """
    with locked(checkout):
        ports = _ports(checkout, caller)
        remembered = read_json(data_dir(checkout) / "ports.json")
        for name, (variable, first) in PORTS.items():
            if _is_free(ports[name]):
                continue
            if variable in caller:
                raise ValueError(f"Port {ports[name]} ({variable}) is in use. Resolution: choose another one.")
            ports[name] = remembered[name] = _free_port(first, taken=set(ports.values()))
        write_json(data_dir(checkout) / "ports.json", remembered)


@contextmanager
def locked(checkout: Path) -> Iterator[None]:
    """Hold the lock on the checkout's local files. Creates their folder."""
    folder = data_dir(checkout)
    folder.mkdir(exist_ok=True)
    with (folder / "environment.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _is_set(name: str, caller: Mapping[str, str]) -> bool:
    # Airflow can also read the value of an option from a command or a secrets backend.
    return any(f"{name}{suffix}" in caller for suffix in ("", "_CMD", "_SECRET"))


def _connection_variable(connection_id: str) -> str:
    return f"AIRFLOW_CONN_{connection_id.upper()}"


def _airflow(checkout: Path, kept: Mapping[str, str], port: int) -> dict[str, str]:
    base_url = f"http://{LOOPBACK}:{port}"
    return {
        "AIRFLOW_HOME": str(data_dir(checkout) / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(checkout / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(checkout / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__FERNET_KEY": kept["fernet_key"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN_USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(data_dir(checkout) / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": base_url,
        "AIRFLOW__API__SECRET_KEY": kept["api_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": kept["jwt_secret"],
        # The reason of a failed task is one long line, which would otherwise be cut at the window's edge.
        "AIRFLOW__API__DEFAULT_WRAP": "True",
        # Without this, Airflow warns about each value in a connection's extra that is too short to mask, such as "na".
        "AIRFLOW__LOGGING__MIN_LENGTH_MASKED_SECRET": "2",
        # Hides Python warnings from Airflow's own dependencies, which we cannot fix.
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "py.warnings=ERROR",
        # A task waits for the scheduler's next look, and a busy machine may be slow to answer one.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        # A task that Ctrl-C has cut off is noticed after a minute at the next start, not after five.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        # Unchanged DAG files are read again this often; a changed one is read at once.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "GX_ANALYTICS_ENABLED": "false",
    }


def airflow_connections(story: Scenario, amazon: str, commerce: str) -> dict[str, dict[str, Any]]:
    """The Airflow connections to a sandbox that plays `story` and answers at these two addresses."""
    connections: dict[str, dict[str, Any]] = {
        AMAZON_CONNECTIONS[application.region]: {
            "conn_type": "http",
            "host": amazon,
            "extra": application.connection_extra(amazon),
        }
        for application in story.applications
    }
    extra = story.commerce.credentials() | {"edition": "paas", "admin_url": f"{commerce}/admin"}
    return connections | {"commerce_api": {"conn_type": "http", "host": commerce, "extra": extra}}


def sandbox_connections(ports: Mapping[str, int]) -> dict[str, str]:
    """Connections to the sandbox, with the credentials that it accepts."""
    amazon, commerce = f"http://{LOOPBACK}:{ports['amazon']}", f"http://{LOOPBACK}:{ports['commerce']}"
    connections = airflow_connections(scenario.build(datetime.now(UTC)), amazon, commerce)
    variables = {_connection_variable(name): json.dumps(connection) for name, connection in connections.items()}
    chosen = {PORTS[name][0]: str(ports[name]) for name in ("amazon", "commerce")}
    return variables | chosen


def _databases(address: postgres.ServerAddress, caller: Mapping[str, str]) -> dict[str, str]:
    folder = os.fspath(address.socket_dir)
    # Airflow derives the URL for asyncpg from this one; both drivers accept a socket's folder as `host`.
    urls = {_METADATA_URL: f"postgresql+psycopg://airflow@/airflow?host={quote(folder, safe='')}"}
    if _is_set(_ORDERS_DB, caller):
        return urls
    urls["ORDERS_DB_ADMIN_URL"] = f"postgresql+psycopg://{postgres.SUPERUSER}@/orders?host={quote(folder, safe='')}"
    for name, role in DATABASE_CONNECTIONS.items():
        urls[_connection_variable(name)] = json.dumps(
            {"conn_type": "postgres", "host": folder, "port": address.port, "login": role, "schema": "orders"}
        )
    return urls


def _search_path(checkout: Path, caller: Mapping[str, str]) -> dict[str, str]:
    """Additions to lists that the caller may have set: Python must find `include`; loopback must bypass proxies."""
    additions = {}
    before = caller.get("PYTHONPATH", "")
    if str(checkout) not in before.split(os.pathsep):
        additions["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), before]))
    if not any(name in caller for name in ("NO_PROXY", "no_proxy")):
        additions["NO_PROXY"] = f"{LOOPBACK},localhost"
    return additions


def _secrets(checkout: Path) -> dict[str, str]:
    path = data_dir(checkout) / "secrets.json"
    kept: dict[str, str] = read_json(path)
    made = {
        "fernet_key": _fernet_key(),
        "pii_key": _fernet_key(),
        "jwt_secret": secrets.token_urlsafe(64),
        "api_secret_key": secrets.token_urlsafe(32),
        "admin_password": secrets.token_urlsafe(12),
    }
    complete = made | kept
    if complete != kept:
        write_json(path, complete)
    passwords = data_dir(checkout) / "passwords.json"
    if read_json(passwords).get(ADMIN_USER) != complete["admin_password"]:
        write_json(passwords, {ADMIN_USER: complete["admin_password"]})
    return complete


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode("ascii")


def _ports(checkout: Path, caller: Mapping[str, str]) -> dict[str, int]:
    path = data_dir(checkout) / "ports.json"
    remembered: dict[str, int] = read_json(path)
    ports = dict(remembered)
    for name, (variable, first) in PORTS.items():
        if variable in caller:
            ports[name] = int(caller[variable])
        elif name not in ports:
            ports[name] = _free_port(first, taken=set(ports.values()))
    # A port that the caller chose applies to this call only.
    unchosen = {name: port for name, port in ports.items() if PORTS[name][0] not in caller}
    if remembered | unchosen != remembered:
        write_json(path, remembered | unchosen)
    return ports


def _free_port(first: int, *, taken: set[int]) -> int:
    for port in range(first, first + 200):
        if port not in taken and _is_free(port):
            return port
    raise OSError(f"There is no free port between {first} and {first + 199}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT can be used
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty without the file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace the file atomically; only its owner may read it."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)
    draft.replace(path)
