"""A run with nothing to evaluate pays nothing for Great Expectations, whose import takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from include.expectations.order_lines import validate_lines, suite_sha256
report = validate_lines([])
assert report.findings == [] and report.results == [] and report.duration_ms == 0, report
assert report.suite_sha256 == suite_sha256()
print(suite_sha256())
print(sorted({"great_expectations", "pandas", "numpy", "airflow"} & sys.modules.keys()))
"""


def test_great_expectations_is_not_imported_when_there_are_no_lines() -> None:
    runs = [
        subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    sha256, imported = runs[0].stdout.split("\n", 1)
    assert len(sha256) == 64
    assert imported == "[]\n"
    assert runs[1].stdout == runs[0].stdout, "the hash of the rules is the same in every process"
