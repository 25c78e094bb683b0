"""Reading one table file, TOML or CSV, and saying in one line what is wrong with it, and where."""

import csv
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from accelsim.errors import TechnologyError
from accelsim.hardware.toml_lines import KeyPath, line_of
from accelsim.network.files import first_line
from accelsim.validation import closest, first_problem, meant_problem

Model = TypeVar("Model", bound=BaseModel)


class CsvRow(NamedTuple):
    """One row of a CSV table: the line it ends on, and its cells by column."""

    line: int
    cells: dict[str, str]


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables. Raises TechnologyError naming the file."""
    try:
        return tomllib.loads(_text(path))
    except (ValueError, RecursionError) as error:
        message, line = _without_place(first_line(error))
        raise TechnologyError(f"{path}{line}: not valid TOML: {message}") from None


def validated(model: type[Model], fields: Any, path: Path, under: KeyPath = ()) -> Model:
    """The fields as a model. Raises TechnologyError naming file, line, field and remedy.

    under: the table of the file that the fields are in
    """
    if not isinstance(fields, dict):
        raise table_error(path, under, "holds a value outside any table: put it under a [name]")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        known = [field.alias or name for name, field in model.model_fields.items()]
        key, message = _without_unit(error, known) or (
            meant_problem(error)["loc"],
            first_problem(error, known),
        )
        raise table_error(path, (*under, *key), message) from None


def table_error(path: Path, key: KeyPath, message: str) -> TechnologyError:
    """What is wrong with the value at `key`, or with the table that lacks it: file, line, message."""
    return TechnologyError(f"{path}, line {line_of(_text(path), key)}: {message}")


def _without_unit(error: ValidationError, known: list[str]) -> tuple[KeyPath, str] | None:
    """The first unknown field that lacks only its unit: `energy`, where `energy_pj` is known."""
    problems = error.errors()
    missing = [problem["loc"] for problem in problems if problem["type"] == "missing"]
    unknown = [problem["loc"] for problem in problems if problem["type"] == "extra_forbidden"]
    for *table, name in unknown:
        beside = [str(loc[-1]) for loc in missing if list(loc[:-1]) == table] if table else known
        for field in beside:
            if field.startswith(f"{name}_"):
                place = ".".join(map(str, [*table, name]))
                return (*table, name), f"{place}: has no unit: write {field}"
    return None


def read_csv(path: Path, columns: list[str], optional: tuple[str, ...] = ()) -> list[CsvRow]:
    """The rows of a CSV table. Raises TechnologyError naming file and line.

    columns: those that must be there; optional: those that may be
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_header(path, header, columns, optional)
            return [_csv_row(path, reader.line_num, header, row) for row in reader if row]
    except csv.Error as error:
        raise TechnologyError(f"{path}, line {reader.line_num}: not valid CSV: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TechnologyError(f"{path}: cannot be read: {error}") from None


def _check_header(
    path: Path, header: list[str], columns: list[str], optional: tuple[str, ...]
) -> None:
    place = f"{path}, line 1"
    known = [*columns, *optional]
    for name in header:
        if header.count(name) > 1:
            raise TechnologyError(f"{place}: column '{name}' stands there twice: remove one")
        if name not in known:
            unit = next((column for column in columns if column.startswith(f"{name}_")), "")
            remedy = f" has no unit: write {unit}" if unit else closest(name, known, "columns")
            raise TechnologyError(f"{place}: unknown column '{name}'{remedy}")
    for name in columns:
        if name not in header:
            raise TechnologyError(f"{place}: column '{name}' is missing: add it")


def _csv_row(path: Path, line: int, header: list[str], row: list[str]) -> CsvRow:
    if len(row) != len(header):
        raise TechnologyError(
            f"{path}, line {line}: has {len(row)} cells, the header {len(header)}: give one each"
        )
    return CsvRow(line, dict(zip(header, row, strict=True)))


def _without_place(message: str) -> tuple[str, str]:
    """A message of the TOML parser, and `, line N` for the place that it ends with."""
    place = re.search(r" \(at line (\d+), column \d+\)$", message)
    return (message[: place.start()], f", line {place[1]}") if place else (message, "")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TechnologyError(f"{path}: cannot be read: {error.strerror}") from None
