import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import FileFormatError
from accelsim.network.prototxt import MAX_DEPTH, parse_prototxt

TEXT = """
name: "two \\"words\\""   # a comment with { and "
input: 'data'
input_dim: 1
input_dim: -3;
layer {
  type: "Pooling" top: "a", top: "b"
  pooling_param { pool: MAX kernel_size: 3 ratio: .5 decay: 1e-3f ceil: true }
}
layer < dims: [1, 2, 3] shape: { dim: 4 } >
"""


def test_a_text_by_hand():
    assert parse_prototxt(TEXT) == {
        "name": ['two "words"'],
        "input": ["data"],
        "input_dim": [1, -3],
        "layer": [
            {
                "type": ["Pooling"],
                "top": ["a", "b"],
                "pooling_param": [
                    {
                        "pool": ["MAX"],
                        "kernel_size": [3],
                        "ratio": [0.5],
                        "decay": [0.001],
                        "ceil": [True],
                    }
                ],
            },
            {"dims": [1, 2, 3], "shape": [{"dim": [4]}]},
        ],
    }


def test_an_empty_text_is_an_empty_message():
    assert parse_prototxt("# nothing\n") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: ?", "line 2: cannot read '\\?'"),
        ("a: 1\nb {\nc: 2", "line 3: the text ends within a message"),
        ("a: 1 }", "line 1: '}' stands where a field's name must"),
        ("a 1", "line 1: '1' stands where a value must"),
        ("a: }", "line 1: '}' stands where a value must"),
        ("a:", "the text ends"),
        ('a: "open\n"', "line 1: cannot read"),
        ("a: 12b", "line 1: cannot read '12b'"),
        ("a: 1.2.3", "line 1: cannot read"),
        ("a: " + "9" * 40, "line 1: the number 999999999999... is too large"),
        ("a { " * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} messages in one another"),
        ("a: [1, 2", "the text ends"),
    ],
)
def test_text_that_does_not_parse(text, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        parse_prototxt(text)
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(TEXT)), text=st.text(max_size=3))
def test_changed_text_parses_or_is_a_format_error(place, text):
    message = ""
    try:
        parse_prototxt(TEXT[:place] + text + TEXT[place + 1 :])
    except FileFormatError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
