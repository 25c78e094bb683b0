"""One line, with a remedy, for what a person wrote wrongly."""

import difflib
import re

from pydantic import ValidationError

# How pydantic names the branches of a union; no field of ours is called so.
UNION_BRANCH = re.compile(r"constrained-\w+|dict\[.*\]")


def first_problem(error: ValidationError, known: list[str]) -> str:
    """The first complaint of pydantic as one line that names the field and the remedy."""
    problems = error.errors()
    # Each branch of a union complains: the one that came furthest is the one that was meant.
    branches = [other for other in problems if other["loc"][:1] == problems[0]["loc"][:1]]
    problem = max(branches, key=lambda branch: len(branch["loc"]))
    place = ".".join(str(part) for part in problem["loc"] if not UNION_BRANCH.fullmatch(str(part)))
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) > 1:
        return f"unknown field '{place}': remove it or correct its spelling"
    if problem["type"] == "extra_forbidden":
        return f"unknown field '{place}'{closest(place, known, 'fields')}"
    if problem["type"] == "missing":
        return f"field '{place}' is missing: add it"
    message = problem["msg"].removeprefix("Value error, ")
    if not place:
        return message
    return f"{place}={problem.get('input')!r}: {message[0].lower()}{message[1:]}"


def closest(word: str, known: list[str], what: str) -> str:
    """`; did you mean 'x'?`, or the list of what is known."""
    matches = difflib.get_close_matches(word, known, n=1)
    if matches:
        return f"; did you mean '{matches[0]}'?"
    return f"; the {what} are {', '.join(known)}"
