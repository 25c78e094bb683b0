"""Protocol buffers' text format, as far as descriptions of Caffe networks use it.

A message is fields in any order, ``name: value`` or ``name { ... }``, where values are numbers, words
and quoted strings; a field may be repeated. Nothing of a schema is known here.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from accelsim.errors import FileFormatError

Value: TypeAlias = "str | int | float | bool | Message"
Message: TypeAlias = dict[str, list[Value]]

MAX_DEPTH = 16  # of messages in messages; Caffe's networks need 4
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?f?(?![\w.]))
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>[{}<>\[\]:;,])""",
    re.VERBOSE,
)
_CLOSING = {"{": "}", "<": ">"}
_WORDS = {"true": True, "false": False}
_MAX_DIGITS = 18  # of a whole number: more are in no size


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse_prototxt(text: str) -> Message:
    """Fields of the text by name, each a list of its values in their order.

    Raises FileFormatError that names the line.
    """
    tokens = _Tokens(text)
    message = _message(tokens, end="", depth=0)
    assert tokens.next is None
    return message


class _Tokens:
    """The tokens of a text, one ahead."""

    def __init__(self, text: str) -> None:
        self._rest = _tokens(text)
        self.line = 1
        self.next = next(self._rest, None)

    def take(self) -> _Token:
        """Return the next token; FileFormatError at the end of the text."""
        if self.next is None:
            raise FileFormatError(f"line {self.line}: the text ends within a message: complete it")
        token, self.next = self.next, next(self._rest, None)
        self.line = token.line
        return token

    def take_if(self, *marks: str) -> str:
        """Take the next token if it is one of the marks; return the mark, or ''."""
        if self.next is not None and self.next.kind == "mark" and self.next.text in marks:
            return self.take().text
        return ""


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FileFormatError(
                f"line {line}: cannot read {text[at : at + 12]!r}: repair the text"
            )
        kind = match.lastgroup or ""
        if kind != "space":
            yield _Token(kind, match.group(), line)
        line += match.group().count("\n")
        at = match.end()


def _message(tokens: _Tokens, end: str, depth: int) -> Message:
    if depth > MAX_DEPTH:
        raise FileFormatError(f"line {tokens.line}: more than {MAX_DEPTH} messages in one another")
    message: Message = {}
    while not (end and tokens.take_if(end)):
        if tokens.next is None and not end:
            break
        name = tokens.take()
        if name.kind != "word":
            raise FileFormatError(
                f"line {name.line}: {name.text!r} stands where a field's name must"
            )
        message.setdefault(name.text, []).extend(_values(tokens, depth))
        tokens.take_if(";", ",")
    return message


def _values(tokens: _Tokens, depth: int) -> list[Value]:
    colon = tokens.take_if(":")
    if colon and tokens.take_if("["):
        values: list[Value] = []
        while not tokens.take_if("]"):
            values.append(_value(tokens, depth, colon))
            tokens.take_if(",")
        return values
    return [_value(tokens, depth, colon)]


def _value(tokens: _Tokens, depth: int, colon: str) -> Value:
    if opening := tokens.take_if(*_CLOSING):
        return _message(tokens, _CLOSING[opening], depth + 1)
    token = tokens.take()
    if token.kind == "mark" or not colon:
        raise FileFormatError(f"line {token.line}: {token.text!r} stands where a value must")
    if token.kind == "string":
        return re.sub(r"\\(.)", r"\1", token.text[1:-1])
    if token.kind == "word":
        return _WORDS.get(token.text, token.text)
    return _number(token)


def _number(token: _Token) -> int | float:
    digits = token.text.lstrip("+-")
    if not digits.isdecimal():
        return float(token.text.removesuffix("f"))
    if len(digits) > _MAX_DIGITS:
        raise FileFormatError(f"line {token.line}: the number {digits[:12]}... is too large")
    return int(token.text)
