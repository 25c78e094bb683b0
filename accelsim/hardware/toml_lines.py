"""Where a key stands in a TOML file: the parser of the standard library does not say."""

import re
import tomllib
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
# A header, the beginning of `key = value`, or what stands between statements.
_STATEMENT = re.compile(
    rf"[ \t]*(?:\[(?P<array>\[)?[ \t]*(?P<header>{_KEY})[ \t]*\]\]?|(?P<key>{_KEY})[ \t]*=)"
    r"|#[^\n]*|[ \t\r]*\n|[ \t\r]+"
)
# What a value is made of: strings and comments as wholes, so that no bracket in them counts.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}"
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*|.""",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line, counted from 1, on which each key and table of a valid TOML text first stands.

    A key in an array of tables has the table's index before it. Of an inline table only its own key
    is there.
    """
    lines: dict[KeyPath, int] = {}
    arrays: dict[KeyPath, int] = {}
    table: KeyPath = ()
    at = 0
    while statement := _STATEMENT.match(text, at):
        line = text.count("\n", 0, statement.end()) + 1
        at = statement.end()
        if statement["header"]:
            table = _table(_parts(statement["header"]), bool(statement["array"]), arrays)
            for end in range(1, len(table) + 1):
                lines.setdefault(table[:end], line)
        elif statement["key"]:
            path = table
            for part in _parts(statement["key"]):
                path = (*path, part)
                lines.setdefault(path, line)
            at = _end_of_value(text, at)
    return lines


def line_of(text: str, path: KeyPath) -> int:
    """Line of the key at `path`, or else of the table that it would stand in; 1 if that is the file."""
    lines = key_lines(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _table(parts: list[str], is_array: bool, arrays: dict[KeyPath, int]) -> KeyPath:
    """The header's table: names, and of arrays of tables the index of the last one."""
    path: KeyPath = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if is_array and i == len(parts) - 1:
            arrays[path] = arrays.get(path, 0) + 1
        if path in arrays:
            path = (*path, arrays[path] - 1)
    return path


def _parts(key: str) -> list[str]:
    """Names of a dotted key, without quotes and escapes."""
    value: Any = tomllib.loads(f"{key} = 0")
    parts = []
    while isinstance(value, dict):
        ((name, value),) = value.items()
        parts.append(name)
    return parts


def _end_of_value(text: str, at: int) -> int:
    """Where the line ends on which the value ends that begins at `at`."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if token[0] == "\n" and depth == 0:
            return token.start()
    return len(text)
