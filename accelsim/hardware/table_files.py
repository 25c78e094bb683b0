"""Reading one TOML table file, and saying in one line what is wrong with it."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from accelsim.errors import TechnologyError
from accelsim.network.files import first_line
from accelsim.validation import first_problem

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables. Raises TechnologyError naming the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TechnologyError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise TechnologyError(f"{path}: not valid TOML: {first_line(error)}") from None


def validated(model: type[Model], fields: Any, path: Path) -> Model:
    """The fields as a model. Raises TechnologyError naming file, field and remedy."""
    if not isinstance(fields, dict):
        raise TechnologyError(f"{path}: holds a value outside any table: put it under a [name]")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        known = [field.alias or name for name, field in model.model_fields.items()]
        raise TechnologyError(f"{path}: {first_problem(error, known)}") from None
