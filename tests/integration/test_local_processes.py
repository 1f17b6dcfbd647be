"""Local processes: all of them end, whatever happens to the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from local.processes import LocalProcesses, ProcessError, end_leftovers, python

CHECKOUT = Path(__file__).parents[2]
# A process with a child that deafens itself and leaves its process group, as Airflow's tasks do.
FAMILY = """
import os, pathlib, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setpgid(0, 0); "
    "open('child', 'w').write(str(os.getpid())); time.sleep(600)"])
while not (pathlib.Path("child").exists() and pathlib.Path("child").read_text()):
    time.sleep(0.05)
pathlib.Path("parent").write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / ".data").mkdir()
    return tmp_path


def family(checkout: Path) -> list[int]:
    """The ids of parent and child, once both are there."""
    deadline = time.monotonic() + 20
    while not (checkout / "parent").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.1)
    return [int((checkout / name).read_text(encoding="utf-8")) for name in ("parent", "child")]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_exit_when_a_child_is_deaf(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=1) as processes:
        processes.start("family", *python("-c", FAMILY))
        pids = family(checkout)
        assert all(map(is_alive, pids))
    assert not any(map(is_alive, pids))
    assert not (checkout / ".data" / "processes.json").exists()


def test_exit_when_the_body_fails(checkout: Path) -> None:
    with pytest.raises(KeyError), LocalProcesses(checkout, os.environ, grace_seconds=1) as processes:
        processes.start("family", *python("-c", FAMILY))
        pids = family(checkout)
        raise KeyError
    assert not any(map(is_alive, pids))


def test_leftovers_when_starter_and_leader_were_killed(checkout: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path; from local.processes import LocalProcesses, python\n"
        "with LocalProcesses(Path(sys.argv[1]), os.environ) as p:\n"
        "    p.start('family', *python('-c', sys.argv[2])); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(checkout), FAMILY], cwd=CHECKOUT)
    parent, child = family(checkout)
    starter.kill()
    starter.wait()
    os.kill(parent, signal.SIGKILL)
    assert is_alive(child)
    assert end_leftovers(checkout, grace_seconds=1) >= 1
    assert not is_alive(parent)
    assert not is_alive(child)
    assert end_leftovers(checkout) == 0


def test_leftovers_when_the_number_belongs_to_somebody_else(checkout: Path) -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        (checkout / ".data" / "processes.json").write_text(
            f'[{{"name": "scheduler", "pid": {stranger.pid}, "created": 1.0}}]', encoding="utf-8"
        )
        assert end_leftovers(checkout) == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_wait_when_a_process_ends_early(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=1) as processes:
        processes.start("server", *python("-c", "print('no such port'); raise SystemExit(3)"))
        with pytest.raises(ProcessError, match=r"(?s)server ended with status 3.*server\.log.*no such port"):
            processes.wait_until_answering("server", "http://127.0.0.1:9/", seconds=30)


def test_wait_when_a_process_never_becomes_healthy(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=1) as processes:
        processes.start("server", "sleep", "600")
        with pytest.raises(ProcessError, match="server is not healthy"):
            processes.wait_until_answering("server", "http://127.0.0.1:9/", seconds=0.5)


def test_wait_when_somebody_else_has_the_port(checkout: Path) -> None:
    (checkout / "page").write_text("here", encoding="utf-8")
    serve = "from http.server import *; s = HTTPServer(('127.0.0.1', 0), SimpleHTTPRequestHandler); "
    serve += "open('port', 'w').write(str(s.server_port)); s.serve_forever()"
    with LocalProcesses(checkout, os.environ, grace_seconds=1) as processes:
        processes.start("other", *python("-c", serve))
        deadline = time.monotonic() + 20
        while not ((checkout / "port").exists() and (checkout / "port").read_text(encoding="utf-8")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        url = f"http://127.0.0.1:{(checkout / 'port').read_text(encoding='utf-8')}/page"
        processes.wait_until_answering("other", url)
        processes.start("ours", "sleep", "600")
        with pytest.raises(ProcessError, match="ours is not healthy"):
            processes.wait_until_answering("ours", url, seconds=1)


def test_finish_when_a_command_fails(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=1) as processes:
        processes.start("good", "true")
        processes.finish("good")
        processes.start("bad", *python("-c", "raise SystemExit('no table')"))
        with pytest.raises(ProcessError, match=r"(?s)bad failed.*no table"):
            processes.finish("bad")
