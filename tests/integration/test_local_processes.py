"""Local processes: all of them end, whatever happens to the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.processes import LocalProcesses, ProcessError, end_leftovers, python
from tests.support.waiting import wait_until

CHECKOUT = Path(__file__).parents[2]
# What ends when it is asked ends sooner, what is deaf is killed after it.
GRACE_SECONDS = 0.5
# A process with a child that deafens itself and leaves its process group, as Airflow's tasks do.
FAMILY = """
import os, pathlib, subprocess, sys, time
ready, tell = os.pipe()
child = subprocess.Popen([sys.executable, "-c",
    "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setpgid(0, 0); "
    "os.write(int(sys.argv[1]), b'.'); time.sleep(600)", str(tell)], pass_fds=[tell])
os.read(ready, 1)
pathlib.Path("draft").write_text(f"{os.getpid()} {child.pid}")
pathlib.Path("draft").rename("family")
time.sleep(600)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / ".data").mkdir()
    return tmp_path


def family(checkout: Path) -> list[int]:
    """The ids of parent and child, once both are there."""
    file = checkout / "family"
    wait_until(file.exists, "the family to start")
    return [int(pid) for pid in file.read_text(encoding="utf-8").split()]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_all_processes_end_when_a_child_ignores_the_signal(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=GRACE_SECONDS) as processes:
        processes.start("family", *python("-c", FAMILY))
        pids = family(checkout)
        assert all(map(is_alive, pids))
    assert not any(map(is_alive, pids))
    assert not (checkout / ".data" / "processes.json").exists()


def test_all_processes_end_when_the_body_fails(checkout: Path) -> None:
    with pytest.raises(KeyError), LocalProcesses(checkout, os.environ, grace_seconds=GRACE_SECONDS) as processes:
        processes.start("family", *python("-c", FAMILY))
        pids = family(checkout)
        raise KeyError
    assert not any(map(is_alive, pids))


def test_leftovers_are_ended_when_starter_and_leader_were_killed(checkout: Path) -> None:
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
    assert end_leftovers(checkout, grace_seconds=GRACE_SECONDS) >= 1
    assert not is_alive(parent)
    assert not is_alive(child)
    assert end_leftovers(checkout) == 0


def test_process_is_left_alone_when_its_number_belongs_to_somebody_else(checkout: Path) -> None:
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


def test_waiting_fails_with_the_log_when_a_process_ends_early(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=GRACE_SECONDS) as processes:
        processes.start("server", *python("-c", "print('no such port'); raise SystemExit(3)"))
        with pytest.raises(ProcessError, match=r"(?s)server ended with status 3.*server\.log.*no such port"):
            processes.wait_until_answering("server", "http://127.0.0.1:9/", seconds=30)


def test_waiting_fails_when_a_process_never_becomes_healthy(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=GRACE_SECONDS) as processes:
        processes.start("server", "sleep", "600")
        with pytest.raises(ProcessError, match="server is not healthy"):
            processes.wait_until_answering("server", "http://127.0.0.1:9/", seconds=0.5)


def test_waiting_fails_when_somebody_else_has_the_port(checkout: Path) -> None:
    (checkout / "page").write_text("here", encoding="utf-8")
    serve = "from http.server import *; s = HTTPServer(('127.0.0.1', 0), SimpleHTTPRequestHandler); "
    serve += "open('draft', 'w').write(str(s.server_port)); import os; os.rename('draft', 'port'); s.serve_forever()"
    with LocalProcesses(checkout, os.environ, grace_seconds=GRACE_SECONDS) as processes:
        processes.start("other", *python("-c", serve))
        wait_until((checkout / "port").exists, "the other server to start")
        url = f"http://127.0.0.1:{(checkout / 'port').read_text(encoding='utf-8')}/page"
        processes.wait_until_answering("other", url)
        processes.start("ours", "sleep", "600")
        with pytest.raises(ProcessError, match="ours is not healthy"):
            processes.wait_until_answering("ours", url, seconds=0.5)


def test_output_is_shown_when_a_command_fails(checkout: Path) -> None:
    with LocalProcesses(checkout, os.environ, grace_seconds=GRACE_SECONDS) as processes:
        processes.start("good", "true")
        processes.finish("good")
        processes.start("bad", *python("-c", "raise SystemExit('no table')"))
        with pytest.raises(ProcessError, match=r"(?s)bad failed.*no table"):
            processes.finish("bad")
