"""A YAML file that people write: its values with the line of each, checked, with errors that name line and key."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails

from include.domain.errors import MisconfiguredError

MOST_MISTAKES = 20  # that one error lists

Place = tuple[int | str, ...]  # of a value in the file: keys and positions


class Model(BaseModel):
    """A part of a file's format. Its validators raise ValueError(what is wrong, what would be right)."""

    model_config = ConfigDict(extra="forbid", strict=True)


def compose(path: str | Path, file: str, setting: str, content: str) -> yaml.Node:
    """The file's YAML nodes. `file`, `setting` and `content` are for messages: what it is, names it, and should hold.

    Raises MisconfiguredError for a file that cannot be read or is empty.
    """
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        reason = getattr(error, "strerror", None) or getattr(error, "problem", None) or error
        remedy = f"Resolution: check {setting}, and that the file is YAML in UTF-8"
        raise MisconfiguredError(f"{where}: the {file} cannot be read ({reason}). {remedy}.") from error
    if root is None:
        raise MisconfiguredError(f"{path}: the file is empty. Resolution: {content}.")
    return root


class Document:
    """The file as plain values, the YAML node and line of each, and the mistakes found so far."""

    def __init__(self, root: yaml.Node, deepest: int) -> None:
        """`deepest`: how many keys lead to the file's deepest value."""
        self.nodes: dict[Place, yaml.Node] = {}
        self.mistakes: list[tuple[Place, str]] = []
        self._lines: dict[Place, int] = {}
        self._deepest = deepest
        self._loader = yaml.SafeLoader("")
        self.content = self._plain(root, (), root)

    def _plain(self, node: yaml.Node, place: Place, start: yaml.Node) -> Any:
        self.nodes[place], self._lines[place] = node, start.start_mark.line + 1
        match node, node.tag:
            case _ if len(place) == self._deepest:
                pass  # the models refuse it, and an alias that contains itself would never end
            case yaml.MappingNode(), "tag:yaml.org,2002:map":
                return {_key(key): self._keyed(key, value, (*place, _key(key))) for key, value in node.value}
            case yaml.SequenceNode(), "tag:yaml.org,2002:seq":
                return [self._plain(child, (*place, index), child) for index, child in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, TypeError):  # a tag of its own, 30 February
            self.add(place, f"{_written(node)} cannot be read", "write plain text in quotes")

    def _keyed(self, key: yaml.Node, value: yaml.Node, place: Place) -> Any:
        if place in self.nodes:
            self.add(place, "is there twice", "keep one of them")
        if key.tag != "tag:yaml.org,2002:str":
            self.add(place, "is a key that is not text", "put it in quotes")
        return self._plain(value, place, key)

    def add(self, place: Place, problem: str, resolution: str) -> None:
        """Note a mistake."""
        self.mistakes.append((place, f"{problem}{'' if problem.endswith('?') else '.'} Resolution: {resolution}"))

    def raise_mistakes(self, path: str | Path) -> None:
        """Raise MisconfiguredError with all mistakes, by line; return if there is none."""
        if not self.mistakes:
            return
        found = sorted(self.mistakes, key=lambda mistake: self.line(mistake[0]))
        lines = [f"{path}:{self.line(place)}: {self.label(place)} {text}." for place, text in found]
        if len(lines) > MOST_MISTAKES:
            lines[MOST_MISTAKES:] = [f"... and {len(lines) - MOST_MISTAKES} more."]
        raise MisconfiguredError("\n".join(lines))

    def line(self, place: Place) -> int:
        """Where the value stands with its key; if there is none, what lacks it."""
        return self._lines.get(place) or self._lines[place[:-1]]

    def text(self, *place: int | str) -> str:
        """What is written at a place, without quotes; empty if it is not a scalar."""
        node = self.nodes.get(place)
        return node.value if isinstance(node, yaml.ScalarNode) else ""

    def label(self, place: Place) -> str:
        """The account or store that a place belongs to, and the keys from there to it."""
        match place:
            case ("accounts", int(), "stores", int(index), *keys):
                label = f"store {self.text(*place[:4], 'name') or f'#{index + 1}'}"
            case ("accounts", int(index), *keys):
                label = f"account {self.text(*place[:2], 'name') or f'#{index + 1}'}"
            case _:
                label, keys = "the file", list(place)
        return ": ".join([label, *map(str, keys)])


def _written(node: yaml.Node) -> str:
    """What the person wrote, not what YAML makes of it: off, not False."""
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return textwrap.shorten(yaml.serialize(node), 60, placeholder="...")


def _key(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else _written(node)


_PROBLEMS = {  # by pydantic's type of error: what is wrong, what would be right
    "missing": ("is missing", "add it"),
    "empty": ("is empty", "give it a value, or remove it"),
    "too_short": ("is empty", "list at least one entry"),
    "string_type": ("must be text, not {written}", "write text; put numbers, dates, yes and no in quotes"),
    "string_pattern_mismatch": ("{written} is not allowed here", "use text that fits {pattern}"),
    "string_too_short": ("is empty", "give it a value, or remove it"),
    "int_type": ("must be a whole number, not {written}", "write it in digits, without quotes"),
    "greater_than_equal": ("{written} is too small", "use {ge} or more"),
    "less_than_equal": ("{written} is too large", "use {le} or less"),
    "literal_error": ("{written} is not allowed here", "use {expected}"),
    "value_error": ("{written} {error.args[0]}", "{error.args[1]}"),
    "list_type": ("must be a list, not {written}", "start each entry with a dash"),
    "dict_type": ("must be a mapping, not {written}", "write one key: value a line"),
    "model_type": ("must be a mapping, not {written}", "write one key: value a line"),
}


def translate(errors: list[ErrorDetails], document: Document, model_at: Callable[[Place], type[BaseModel]]) -> None:
    """Add pydantic's errors to the mistakes, in the words of the person who wrote the file.

    `model_at` gives the model that does not know the key at a place.
    """
    reported = {place for place, _ in document.mistakes}
    misspelled: set[Place] = set()
    for error in sorted(errors, key=lambda error: error["type"] != "extra_forbidden"):
        place, kind = error["loc"], error["type"]
        if place in reported or (kind == "missing" and place in misspelled):
            continue
        if kind == "extra_forbidden":
            fields = model_at(place).model_fields
            known = [field.alias or name for name, field in fields.items()]
            close = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.65)
            misspelled |= {(*place[:-1], key) for key in close}
            hint = f"; did you mean {close[0]}?" if close else ""
            document.add(place, f"is not a known key{hint}", f"correct or remove it (known keys: {', '.join(known)})")
            continue
        node = document.nodes.get(place) or document.nodes.get(place[:-1])  # a text may stand for a mapping
        is_whole = place in document.nodes or isinstance(node, yaml.ScalarNode)
        words = {"written": _written(node) if node and is_whole else "", **error.get("ctx", {})}
        kind = "empty" if error["input"] is None and kind != "missing" else kind
        problem, resolution = _PROBLEMS.get(kind, ("{written} is not allowed here", "correct it"))
        document.add(place, problem.format(**words), resolution.format(**words))
