"""One line, with a remedy, for what a person wrote wrongly."""

import difflib
import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails

# How pydantic names the branches of a union; no field of ours is called so.
UNION_BRANCH = re.compile(r"constrained-\w+|dict\[.*\]")

# A shorter beginning of a name may be of anything.
_MIN_PREFIX = 3
# Characters of a value in a message.
_MAX_VALUE = 80


def first_problem(error: ValidationError, known: list[str]) -> str:
    """The first complaint of pydantic as one line that names the field and the remedy."""
    problem = meant_problem(error)
    place = ".".join(str(part) for part in problem["loc"] if not UNION_BRANCH.fullmatch(str(part)))
    place = place if place.isprintable() else repr(place)[1:-1]
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) > 1:
        return f"unknown field '{place}': remove it or correct its spelling"
    if problem["type"] == "extra_forbidden":
        return f"unknown field '{place}'{closest(place, known, 'fields')}"
    if problem["type"] == "missing":
        return f"field '{place}' is missing: add it"
    message = problem["msg"].removeprefix("Value error, ")
    if not place:
        return message
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        return f"{place}: {message}"  # about a whole table, which would not fit the line
    return f"{place}={_brief(problem.get('input'))}: {message[0].lower()}{message[1:]}"


def meant_problem(error: ValidationError) -> ErrorDetails:
    """The complaint that `first_problem` is about."""
    problems = error.errors()
    # Each branch of a union complains: the one that came furthest is the one that was meant.
    branches = [other for other in problems if other["loc"][:1] == problems[0]["loc"][:1]]
    return max(branches, key=lambda branch: len(branch["loc"]))


def closest(word: str, known: list[str], what: str) -> str:
    """`; did you mean 'x'?`, or the list of what is known."""
    match = closest_match(word, known)
    if match:
        return f"; did you mean '{match}'?"
    return f"; the {what} are {', '.join(known)}"


def closest_match(word: str, known: list[str]) -> str | None:
    """Return what `word` was probably meant to be: what it starts, or else what is spelled alike.

    Case, and '-' or '_', make no difference.
    """
    plain = {_plain(name): name for name in known}
    wanted = _plain(word)
    starts = [name for name in plain if len(wanted) >= _MIN_PREFIX and name.startswith(wanted)]
    matches = starts or difflib.get_close_matches(wanted, plain, n=1)
    return plain[matches[0]] if matches else None


def _brief(value: object) -> str:
    """Return a value as it was written, cut where a line would be too long to read."""
    text = repr(value)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 3] + "..."


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")
