"""Airflow executes every Python file in plugins/ under its bare name, in every component."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGINS = CHECKOUT / "plugins"

# Imports the file as Airflow's plugin manager does, and prints which heavy packages that has brought in.
IMPORT_PLUGIN = """
import importlib.util, sys
import airflow.plugins_manager
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("recent_orders_plugin", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
heavy = {"fastapi", "sqlalchemy", "jinja2", "psycopg", "pandas", "include.resources", "include.pages"}
print("brought in:", sorted(heavy & (set(sys.modules) - before)))
"""


def test_plugins_folder_has_one_python_file_when_searched_deeply() -> None:
    files = [path.relative_to(PLUGINS) for path in PLUGINS.rglob("*.py")]
    assert files == [Path("recent_orders_plugin.py")]


def test_plugin_name_is_unused_elsewhere_when_airflow_registers_it_as_a_module() -> None:
    assert importlib.util.find_spec("recent_orders_plugin") is None
    others = [path for path in CHECKOUT.glob("[a-z]*/**/recent_orders_plugin.py") if path.parent != PLUGINS]
    assert others == []


def test_plugin_brings_in_nothing_heavy_when_imported(tmp_path: Path) -> None:
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_PLUGIN, str(PLUGINS / "recent_orders_plugin.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "brought in: []"
