"""check_setup in real Airflow: a green or a red run, one line per finding; the command sees Airflow's pools, too."""

from __future__ import annotations

import json
import subprocess
import sys

from include.adapters.commerce.rights import CUSTOMERS, INVOICE, LEGACY_STOCK, NEEDED, SAVE_CUSTOMERS
from tests.support.installation import AIRFLOW, CHECKOUT, Installation

PROBLEM = f"shop commerce_api: the integration lacks the right {INVOICE.place} ({INVOICE.resource})"


def command(
    installation: Installation, *arguments: str, is_forked: bool = True, **changes: str
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    variables = installation.variables() | changes
    paths = [installation.folder / name for name in ("stdout", "stderr")]
    with paths[0].open("wb") as stdout, paths[1].open("wb") as stderr:
        if is_forked:
            started = installation.airflow.start(arguments, CHECKOUT, variables, stdout.fileno(), stderr.fileno())
            status = started.wait()
        else:
            status = subprocess.run(
                arguments, cwd=CHECKOUT, env=variables, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            ).returncode
    return status, *(path.read_text(encoding="utf-8") for path in paths)


def check(installation: Installation, *options: str, is_forked: bool = True, **changes: str) -> tuple[int, list[str]]:
    """Exit status and lines of the command: findings and their sum, nothing else."""
    arguments = (sys.executable, "-m", "include", "check", *options)
    status, stdout, stderr = command(installation, *arguments, is_forked=is_forked, **changes)
    lines = stdout.splitlines()
    assert lines, stderr[-3000:]
    states = ("OK           ", "PROBLEM      ", "NOT CHECKED  ")
    assert [line for line in lines[:-1] if not line.startswith(states)] == []
    assert "Traceback" not in stderr, stderr[-3000:]
    return status, lines


def test_run_turns_red_when_it_finds_a_problem(installation: Installation) -> None:
    rights = installation.sandbox.commerce.rights
    assert rights is not None
    with installation.console() as dags_test:
        sound = dags_test("check_setup")
        assert sound.state == "success", sound.output[-3000:]
        assert "OK           store Acme UK: store view uk, base currency GBP" in sound.output

        rights.discard(INVOICE.resource)
        unsound = dags_test("check_setup")
        assert (unsound.state, unsound.task("check_setup").state) == ("failed", "failed")
        assert f"PROBLEM      {PROBLEM}" in unsound.output
        assert "1 of 17 checks found a problem. Resolution: " in unsound.output
        assert unsound.task("check_setup").tries == 1, "a retry cannot help"
    assert installation.sandbox.commerce.orders() == []


def test_run_fails_when_it_gets_a_param_that_it_does_not_have(installation: Installation) -> None:
    conf = json.dumps({"dryrun": True})
    _, stdout, stderr = command(installation, AIRFLOW, "dags", "test", "check_setup", "--conf", conf)
    said = stdout + stderr
    assert "The DAG check_setup has no param dryrun. Nothing was done. Resolution: " in said
    assert "trigger it with dry_run only." in said
    assert not installation.sandbox.commerce_faults.calls


def test_command_ends_with_1_when_pools_are_missing_and_with_0_when_nothing_is(installation: Installation) -> None:
    status, lines = check(installation)
    pools = [line for line in lines if line.startswith("PROBLEM      pool ")]
    assert (status, len(pools)) == (1, 3), lines
    assert lines[-1] == "16 OK, 3 with a problem, 0 not checked."
    installation.command("pools", "import", str(CHECKOUT / "include/pools.json"))
    status, lines = check(installation)
    assert (status, lines[-1]) == (0, "19 OK, 0 with a problem, 0 not checked."), lines

    calls = installation.sandbox.commerce_faults.calls.copy()
    status, lines = check(installation, "--dry-run")
    assert (status, lines[-1]) == (0, "7 OK, 0 with a problem, 4 not checked."), lines
    assert installation.sandbox.commerce_faults.calls == calls


def test_command_names_them_when_a_setting_and_airflows_database_are_wrong(installation: Installation) -> None:
    nowhere = "postgresql+psycopg://airflow:planted-secret@127.0.0.1:9/airflow"
    wrong = {"ORDERS_CREATE_LIMIT": "many", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": nowhere, "ORDERS_TYPO": "1"}
    status, lines = check(installation, is_forked=False, **wrong)  # as people start it
    assert status == 1
    assert lines[0].startswith("PROBLEM      Airflow: its database cannot be read")
    assert lines[1].startswith("PROBLEM      settings: ORDERS_CREATE_LIMIT must be a whole number, not 'many'")
    assert not [line for line in lines if "planted-secret" in line]


def test_command_finds_connections_when_airflows_database_keeps_them(installation: Installation) -> None:
    shop = installation.connections.pop("commerce_api")
    # Where connections are looked for depends on what is set when Airflow is imported.
    status, lines = check(installation, is_forked=False)
    assert status == 1
    assert [line for line in lines if "There is no Airflow connection 'commerce_api'" in line]
    installation.command("connections", "add", "commerce_api", "--conn-json", json.dumps(shop))
    _, lines = check(installation, is_forked=False)
    # The shop has multi-source inventory, and all of its stores order as guests.
    asked = len(set(NEEDED) - {LEGACY_STOCK, CUSTOMERS, SAVE_CUSTOMERS})
    assert f"OK           shop commerce_api: credentials and all {asked} rights" in lines
