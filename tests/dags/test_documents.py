"""The documents say what the code does: generated pages are current, tables are complete, SQL runs, links resolve."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import URL, Engine, text

from include.adapters.personal_data import PersonalDataCipher
from include.database.engine import make_engine
from include.domain.blockers import BLOCKER_CODES
from include.steps import repair_amazon_order
from local.documents import DagEntry, DocumentError, current, read_dags, write
from local.sandbox.amazon.feed_routes import FEED_OPERATIONS
from local.sandbox.commerce.routes import ROUTES
from local.sandbox.faults import Fault, FaultKind
from tests.support.road import Road

CHECKOUT = Path(__file__).parents[2]
ORDER = "902-0000001-0000001"
DAGS = read_dags(CHECKOUT)
# The README tells the story in this order.
LAST = [
    "orders_to_reporting",
    "purge_operational_history",
    "backfill_amazon_orders",
    "replay_amazon_orders",
    "repair_amazon_order",
    "cancel_amazon_order",
    "load_exchange_rates",
    "export_reporting_tables",
    "approve_held_writes",
    "check_setup",
]
# A backfill ends as live orders do, and the scheduled run follows the feeds that a person's run begins.
IN_TWO_DAGS = ["stage_stores", "stage_amazon_orders", "submit_cancellations"]
DAGS_BY_PATH = sorted(DAGS, key=lambda dag: LAST.index(dag.dag_id) + 1 if dag.dag_id in LAST else 0)
HEADINGS = ["Does", "Reads", "Writes", "Schedule", "Safe to re-run because", "When it fails"]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
SNIPPETS = [
    pytest.param(role, statement, id=f"{page.relative_to(CHECKOUT)}-{number}")
    for page in PAGES
    for number, (role, statement) in enumerate(
        re.findall(
            r"^```sql\n-- as (\w+)[^\n]*\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    )
]
LINKS = [
    (page, target)
    for page in PAGES
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    if not target.startswith(("https://", "http://"))
]


def _steps() -> set[str]:
    """Modules of include/steps with a function `run`: the tasks' work. The others serve them."""
    return {
        path.stem
        for path in (CHECKOUT / "include" / "steps").glob("*.py")
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in ast.parse(path.read_text()).body)
    }


def _anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _copy(folder: Path) -> Path:
    for name in ("docs", "dags", "include/database/views"):
        shutil.copytree(CHECKOUT / name, folder / name)
    shutil.copy(CHECKOUT / ".env.example", folder)
    return folder


@pytest.mark.parametrize("page", [str(path.relative_to(CHECKOUT)) for path in current(CHECKOUT)])
def test_generated_document_is_current_when_sources_have_changed(page: str) -> None:
    wanted = current(CHECKOUT)[CHECKOUT / page]
    assert (CHECKOUT / page).read_text(encoding="utf-8") == wanted, "run `make docs`"


def test_pages_are_written_when_they_are_out_of_date(tmp_path: Path) -> None:
    copy = _copy(tmp_path)
    (copy / "docs" / "dags.md").unlink()
    env_example = copy / ".env.example"
    right = env_example.read_text(encoding="utf-8")
    env_example.write_text(right.replace("=1800", "=1801"), encoding="utf-8")
    assert write(copy) == [copy / "docs" / "dags.md", env_example]
    assert env_example.read_text(encoding="utf-8") == right
    assert write(copy) == []


def test_writing_fails_when_a_page_has_lost_its_marks(tmp_path: Path) -> None:
    page = _copy(tmp_path) / "docs" / "runbook.md"
    page.write_text(page.read_text(encoding="utf-8").replace("<!-- end blockers -->", ""), encoding="utf-8")
    with pytest.raises(DocumentError, match=r"runbook\.md.*'blockers'"):
        write(tmp_path)


def test_every_dag_file_is_found_when_dags_are_listed() -> None:
    assert [dag.dag_id for dag in DAGS] == [path.stem for path in sorted((CHECKOUT / "dags").glob("*.py"))]
    assert len(DAGS) >= 3
    assert all(dag.tasks for dag in DAGS)


@pytest.mark.parametrize("dag", DAGS, ids=lambda dag: dag.dag_id)
def test_dag_docstring_has_its_headings_when_shown_in_the_ui(dag: DagEntry) -> None:
    assert re.findall(r"^\*\*(.+?)\*\* — ", dag.docstring, re.MULTILINE) == HEADINGS
    assert len(dag.docstring.splitlines()) <= 25


def test_every_step_has_one_task_when_tasks_are_compared_with_steps() -> None:
    tasks = [task.task_id for dag in DAGS for task in dag.tasks]
    assert sorted(tasks) == sorted([*set(tasks), *IN_TWO_DAGS])
    assert set(tasks) == _steps()
    assert all(task.meaning.endswith(".") for dag in DAGS for task in dag.tasks)


def test_data_path_table_lists_every_task_when_compared_with_the_dags() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## The data path")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w*) ?\| `(\w+)`( \(per account\))? \|", section, re.MULTILINE)
    listed, dag_id = [], ""
    for first_cell, task_id, per_account in rows:
        dag_id = first_cell or dag_id
        listed.append((dag_id, task_id, bool(per_account)))
    assert listed == [(dag.dag_id, task.task_id, task.is_mapped) for dag in DAGS_BY_PATH for task in dag.tasks]


def test_table_list_is_complete_when_compared_with_the_database(admin_engine: Engine) -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## The tables")[2].partition("\n## ")[0]
    listed = {
        (schema, table)
        for schema, tables in re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", section, re.MULTILINE)
        for table in re.findall(r"`(\w+)`", tables)
    }
    with admin_engine.connect() as connection:
        found = connection.execute(
            text(
                "select table_schema, table_name from information_schema.tables "
                "where table_schema in ('raw', 'pii', 'core', 'ops', 'reporting') and table_name <> 'schema_version'"
            )
        )
        assert listed == {tuple(row) for row in found}


def test_every_blocker_is_explained_when_the_runbook_is_read() -> None:
    runbook = (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^- \*\*(\w+)\*\*", runbook, re.MULTILINE)) == set(BLOCKER_CODES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_sql_names_its_role_when_a_page_shows_it(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    assert content.count("```sql") == len(
        re.findall(r"^```sql\n-- as (?:orders_rw|analyst|administrator)\b", content, re.M)
    )


@pytest.mark.parametrize(("role", "statement"), SNIPPETS)
def test_sql_succeeds_when_run_on_a_migrated_database(database_url: URL, role: str, statement: str) -> None:
    user = database_url.username if role == "administrator" else role
    engine = make_engine(database_url.set(username=user), application_name="tests")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)  # ends without a commit


def test_sql_of_the_pages_is_found_when_counted() -> None:
    assert len(SNIPPETS) > 15


@pytest.fixture
def played(full_road: Road) -> Road:
    """The scenario after its first run and the blockers of its beginning."""
    full_road.orders_run()
    return full_road


def _snippet(page: str, words: str, **changes: str) -> str:
    """The one SQL snippet of a page that holds `words`, with the example values replaced as a reader would."""
    found = [str(p.values[1]) for p in SNIPPETS if str(p.id).startswith(page) and words in str(p.values[1])]
    (statement,) = found
    for old, new in changes.values():
        assert old in statement
        statement = statement.replace(old, new)
    return statement


def test_queries_for_analysts_return_rows_when_orders_are_there(played: Road, database_url: URL) -> None:
    analyst = make_engine(database_url.set(username="analyst"), application_name="tests")
    queries = [str(p.values[1]) for p in SNIPPETS if str(p.id).startswith("docs/analysts.md")]
    assert len(queries) >= 6
    with analyst.connect() as connection:
        assert [query for query in queries if not connection.exec_driver_sql(query).all()] == []


def test_contacts_are_encrypted_anew_after_a_lost_key_when_the_runbook_is_followed(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=5)
    road.orders_run()
    assert road.value("select count(*) from pii.order_contacts") == 1
    road.cipher = PersonalDataCipher([Fernet.generate_key().decode()])
    again = _snippet("docs/runbook.md", "'abandoned'", since=("2026-11-01T00:00:00Z", "2020-01-01T00:00:00Z"))
    with road.engine.begin() as connection:
        connection.exec_driver_sql(_snippet("docs/runbook.md", "delete from pii.order_contacts"))
        connection.exec_driver_sql(again)
    road.orders_run()
    token = road.value("select contact_encrypted from pii.order_contacts")
    assert "buyer" in road.cipher.decrypt(bytes(token))
    assert road.value("select count(*) from raw.amazon_orders") == 1
    assert len(road.sandbox.commerce.orders()) == 1


def test_refused_order_is_created_when_the_runbook_is_followed(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=5)
    road.orders_run(create=lambda _: None)
    with road.engine.begin() as connection:
        connection.exec_driver_sql(
            "update ops.order_outbox set state = 'rejected', refusals = 5, next_attempt_at = null"
        )
        connection.exec_driver_sql("update core.orders set pipeline_state = 'rejected'")
    road.orders_run()
    assert road.sandbox.commerce.orders() == []
    with road.engine.begin() as connection:
        connection.exec_driver_sql(_snippet("docs/runbook.md", "refusals = 0", order=("902-1234567-1234567", ORDER)))
    road.orders_run()
    assert [order["ext_order_id"] for order in road.sandbox.commerce.orders()] == [ORDER]


def test_order_that_needs_attention_is_created_when_the_runbook_is_followed(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=5)
    road.orders_run(create=lambda _: None)
    with road.engine.begin() as connection:
        connection.exec_driver_sql(
            "update ops.order_outbox set needs_attention_at = now(), failures = 8, next_attempt_at = null"
        )
        connection.exec_driver_sql("update core.orders set pipeline_state = 'needs_attention'")
    road.orders_run()
    assert road.sandbox.commerce.orders() == []
    listed = _snippet("docs/runbook.md", "needs_attention_at is not null and finished_at is null")
    recorded = _snippet("docs/runbook.md", "from ops.order_repairs")
    wanted = {"amazon_order_id": ORDER, "action": "retry", "comment": "The shop is repaired."}
    with road.engine.connect() as connection:
        assert [row.amazon_order_id for row in connection.exec_driver_sql(listed)] == [ORDER]
    repair_amazon_order.run(
        road.engine,
        road.cipher,
        repair_amazon_order.read_repair(wanted),
        is_dry_run=False,
        repaired_by="olga",
        now=road.now(),
        dag_run_id="manual__1",
    )
    with road.engine.connect() as connection:
        assert connection.exec_driver_sql(listed).all() == []
        assert [row.comment for row in connection.exec_driver_sql(recorded)] == ["The shop is repaired."]
    road.orders_run()
    assert [order["ext_order_id"] for order in road.sandbox.commerce.orders()] == [ORDER]
    assert road.value("select pipeline_state from core.orders") == "created"


def test_old_contacts_are_deleted_when_their_orders_are_finished(road: Road) -> None:
    road.buy(ORDER, {"TRAY-WALNUT": 1})
    road.pass_time(minutes=5)
    road.orders_run()
    old = "update core.orders set deliver_by_at = now() - interval '31 days'"
    delete = _snippet("SECURITY.md", "delete from pii.order_contacts")
    with road.engine.begin() as connection:
        connection.exec_driver_sql(old)
        connection.exec_driver_sql(
            "insert into pii.order_corrections select amazon_order_id, '', now() from pii.order_contacts"
        )
        connection.exec_driver_sql(delete)
        assert connection.exec_driver_sql("select count(*) from pii.order_contacts").scalar_one() == 1  # unfinished
        connection.exec_driver_sql("update core.orders set pipeline_state = 'completed'")
        connection.exec_driver_sql(delete)
        assert connection.exec_driver_sql("select count(*) from pii.order_contacts").scalar_one() == 0
        assert connection.exec_driver_sql("select count(*) from pii.order_corrections").scalar_one() == 0


def test_quarantined_document_is_shown_when_the_runbook_is_followed(
    database_url: URL, engine: Engine, tmp_path: Path
) -> None:
    key = Fernet.generate_key().decode()
    token = PersonalDataCipher([key]).encrypt({"document": {"orderId": 17}})
    with engine.begin() as connection:
        connection.execute(text("insert into pii.quarantined_payloads values ('abc', :token, now())"), {"token": token})
    runbook = (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", runbook, re.MULTILINE | re.DOTALL)
    connection_json = {
        "conn_type": "postgres",
        "host": str(database_url.query["host"]),
        "login": "orders_rw",
        "schema": database_url.database,
    }
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_ORDERS_DB": json.dumps(connection_json),
        "ORDERS_PII_KEYS": key,
        "PYTHONPATH": str(CHECKOUT),
    }
    shown = subprocess.run(
        [sys.executable, "-c", snippet, "abc"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.strip().splitlines()[-1:] == ["{'orderId': 17}"], shown.stderr


@pytest.mark.parametrize(
    ("page", "target"), [pytest.param(p, t, id=f"{p.relative_to(CHECKOUT)}-{t}") for p, t in dict.fromkeys(LINKS)]
)
def test_link_leads_to_a_page_and_heading_when_followed(page: Path, target: str) -> None:
    place, _, anchor = target.partition("#")
    found = (page.parent / unquote(place)).resolve() if place else page
    assert found.exists()
    assert not anchor or anchor in _anchors(found)


def test_sandbox_guide_lists_every_operation_and_fault_when_compared_with_the_servers() -> None:
    guide = (CHECKOUT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    faults = guide.partition("## Faults")[2].partition("\n## ")[0]
    kinds, operations = faults.partition("| Kind |")[2].split("\nOperations of Amazon: ")
    listed_kinds = [
        kind for row in re.findall(r"^\| (`.+?) \|", kinds, re.MULTILINE) for kind in re.findall(r"`(\w+)`", row)
    ]
    assert sorted(listed_kinds) == sorted(get_args(FaultKind))
    amazon, commerce = operations.split("\n\n")[0].split("Operations of Commerce: ")
    feeds = {operation for _, _, operation in FEED_OPERATIONS}
    assert set(re.findall(r"`(\w+)`", amazon)) == {"token", "searchOrders", "getOrder", "confirmShipment", *feeds}
    assert set(re.findall(r"`(\w+)`", commerce)) == {route.operation for route in ROUTES}
    fields_listed = re.findall(r"^\| `(\w+)` \|", faults.partition("| Kind |")[0], re.MULTILINE)
    assert fields_listed == [field.name for field in fields(Fault)]


def test_page_exists_when_code_names_it() -> None:
    named = {
        name
        for folder in ("include", "dags", "plugins")
        for path in (CHECKOUT / folder).rglob("*.py")
        for name in re.findall(r"(?<![\w./-])docs/[\w./-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert "docs/runbook.md" in named
    assert [name for name in sorted(named) if not (CHECKOUT / name).exists()] == []


def test_documents_name_no_place_of_one_machine_when_searched() -> None:
    searched = [*PAGES, CHECKOUT / ".env.example"]
    found = [page.name for page in searched if re.search(r"/(?:work|root|home)/", page.read_text(encoding="utf-8"))]
    assert found == []
