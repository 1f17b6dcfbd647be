"""The messages that runbook and troubleshooting guide explain are messages that the code can say."""

from __future__ import annotations

import ast
import errno
import os
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])


def _skeletons() -> list[str]:
    r"""Every text in the code, with \0 where a value is filled in, also of the Makefile; and one of the system."""
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    found = [re.sub(r"\$\(\w+\)", "\0", makefile), os.strerror(errno.ENOSPC)]
    for folder in ("include", "local", "tests/browser"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values]
                    found.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


SKELETONS = _skeletons()
# The first cell of each row in a table of messages, and the messages that a section begins with.
MESSAGES = [
    (page, message)
    for page in PAGES
    for content in [page.read_text(encoding="utf-8")]
    for cells in [
        *re.findall(r"^\*Messages?: (.*)$", content, re.MULTILINE),
        *(
            row
            for table in re.findall(r"^\| Message \|.*\n\| ---.*\n((?:\|.*\n)+)", content, re.MULTILINE)
            for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
        ),
    ]
    for message in re.findall(r"`([^`]+)`", cells)
]


def _can_say(skeleton: str, message: str) -> bool:
    """Whether a text of the code can contain `message`, in which `...` stands for anything."""
    words = [r"[^|]*?" if word == "..." else rf"(?:{re.escape(word)}|[^\s\0]*\0[^\s\0]*)" for word in message.split()]
    found = re.search(r"\s+".join(words).replace(r"[^|]*?\s+", r"[^|]*?"), skeleton)
    return found is not None and len(re.sub(r"\0|\.\.\.", "", found[0])) * 2 > len(message.replace("...", ""))


@pytest.mark.parametrize(
    ("page", "message"), [pytest.param(p, m, id=f"{p.name}-{m[:40]}") for p, m in dict.fromkeys(MESSAGES)]
)
def test_message_can_be_said_by_the_code_when_a_document_quotes_it(page: Path, message: str) -> None:
    assert any(_can_say(skeleton, message) for skeleton in SKELETONS), f"{page.name}: {message}"


def test_documents_quote_messages_when_counted() -> None:
    counts = {page.name: sum(1 for one, _ in MESSAGES if one == page) for page in PAGES}
    assert counts["runbook.md"] > 15
    assert counts["troubleshooting.md"] > 12


def test_message_is_noticed_when_the_code_cannot_say_it() -> None:
    text = "amazon \0 of account \0: refused with \0 although the token is fresh"
    assert _can_say(text, "refused with 403 although the token is fresh")
    assert _can_say(text, "amazon ... although the token")
    assert not _can_say(text, "refused with 403 because the token is stale")
    assert not _can_say("\0 \0 \0 \0", "any other message")
