"""Fields of Caffe's messages that decide what a deployed network computes; others are an error.

Names, meanings and defaults are those of Caffe's ``caffe.proto``.
"""

import typing
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from accelsim.errors import NetworkError
from accelsim.network.prototxt import Message
from accelsim.validation import first_problem

MAX_COUNT = 2**31 - 1
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Edge = Annotated[int, Field(ge=0, le=MAX_COUNT)]
# How weights are drawn before training, which engine computes: nothing that a result depends on.
Ignored = Annotated[Any, Field(default=None)]


class _Message(BaseModel):
    """A message whose fields come as lists; a field that is no list may stand there once."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _once(cls, message: Any) -> Any:
        if not isinstance(message, dict):
            raise ValueError("must be a message in braces")
        fields = {}
        for name, values in message.items():
            field = cls.model_fields.get(name)
            repeated = field is None or typing.get_origin(field.annotation) is list
            if not repeated and len(values) != 1:
                raise ValueError(f"field '{name}' stands there {len(values)} times: give it once")
            fields[name] = values if repeated else values[0]
        return fields


class Shape(_Message):
    """BlobShape."""

    dim: list[Count] = []


class Net(_Message):
    """NetParameter; `layer` messages are checked one by one."""

    name: str = ""
    input: list[str] = []
    input_dim: list[Count] = []
    input_shape: list[Shape] = []
    layer: list[dict[str, Any]] = []

    @model_validator(mode="before")
    @classmethod
    def _recent(cls, message: Any) -> Any:
        if isinstance(message, dict) and "layers" in message:
            raise ValueError(
                "'layers' are of Caffe's old format: convert it with upgrade_net_proto_text"
            )
        return message

    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name, without the batch, of the inputs that stand at the top of the file."""
        dims = [shape.dim for shape in self.input_shape]
        if not dims and self.input and len(self.input_dim) % len(self.input) == 0:
            rank = len(self.input_dim) // len(self.input)
            dims = [self.input_dim[at * rank :][:rank] for at in range(len(self.input))]
        if len(dims) != len(self.input):
            raise NetworkError(
                f"has {len(self.input)} inputs, but {len(self.input_dim)} input_dim and "
                f"{len(self.input_shape)} input_shape: give each input one input_shape"
            )
        return {
            name: without_batch(dim, f"input '{name}': ")
            for name, dim in zip(self.input, dims, strict=True)
        }


def without_batch(dims: list[int], place: str) -> tuple[int, ...]:
    """Sizes of one example."""
    if not 2 <= len(dims) <= 4:
        raise NetworkError(f"{place}has {len(dims)} sizes: give the batch, then one to three more")
    return tuple(dims[1:])


class LayerHead(BaseModel):
    """LayerParameter: what all layers have; the rest is in `model_extra`."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    name: str = Field(min_length=1)
    type: str
    bottom: list[str] = []
    top: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _once(cls, message: Any) -> Any:
        single = {name: message[name][0] for name in ("name", "type") if message.get(name)}
        return message | single

    def param(self, name: str, place: str) -> Message:
        """The one message of parameters that this type of layer has; empty if it is left out."""
        extra = dict(self.model_extra or {})
        for ignored in ("param", "phase"):
            extra.pop(ignored, None)
        values = extra.pop(name, [{}])
        if extra:
            raise NetworkError(f"{place}field '{next(iter(extra))}' is not supported: remove it")
        if len(values) != 1 or not isinstance(values[0], dict):
            raise NetworkError(f"{place}field '{name}' must be one message in braces")
        return values[0]


class Input(_Message):
    """InputParameter."""

    shape: list[Shape] = Field(min_length=1)


class _Windows(_Message):
    """Sizes that are given for both axes, for each of them, or as _h and _w."""

    def pair(self, what: str, place: str) -> tuple[int, int]:
        """Vertical and horizontal size of the kernel, stride, pad or dilation."""
        given = getattr(self, "kernel_size" if what == "kernel" else what)
        both = list(given) if isinstance(given, list) else [] if given is None else [given]
        apart = [
            size for axis in "hw" if (size := getattr(self, f"{what}_{axis}", None)) is not None
        ]
        default = {"stride": [1], "pad": [0], "dilation": [1]}.get(what, [])
        if both and apart:
            raise NetworkError(
                f"{place}{what} is given twice: give it for both axes or as _h and _w"
            )
        sizes = both or apart or default
        if len(sizes) not in (1, 2) or len(apart) == 1:
            raise NetworkError(f"{place}{what} must be given once, or for each of two axes")
        return sizes[0], sizes[-1]


class Convolution(_Windows):
    """ConvolutionParameter."""

    num_output: Count
    bias_term: bool = True
    kernel_size: list[Count] = []
    kernel_h: Count | None = None
    kernel_w: Count | None = None
    stride: list[Count] = []
    stride_h: Count | None = None
    stride_w: Count | None = None
    pad: list[Edge] = []
    pad_h: Edge | None = None
    pad_w: Edge | None = None
    dilation: list[Count] = []
    group: Count = 1
    axis: Literal[1] = 1
    weight_filler: Ignored
    bias_filler: Ignored
    engine: Ignored


class InnerProduct(_Message):
    """InnerProductParameter."""

    num_output: Count
    bias_term: bool = True
    axis: Literal[1] = 1
    transpose: Literal[False] = False
    weight_filler: Ignored
    bias_filler: Ignored


class Pooling(_Windows):
    """PoolingParameter."""

    pool: Literal["MAX", "AVE"] = "MAX"
    global_pooling: bool = False
    kernel_size: Count | None = None
    kernel_h: Count | None = None
    kernel_w: Count | None = None
    stride: Count | None = None
    stride_h: Count | None = None
    stride_w: Count | None = None
    pad: Edge | None = None
    pad_h: Edge | None = None
    pad_w: Edge | None = None
    round_mode: Literal["CEIL", "FLOOR"] = "CEIL"
    engine: Ignored


class Relu(_Message):
    """ReLUParameter."""

    negative_slope: float = 0.0
    engine: Ignored


class Concat(_Message):
    """ConcatParameter."""

    axis: int = Field(default=1, ge=1, le=3)


class Eltwise(_Message):
    """EltwiseParameter; MAX and weights of a sum are not supported."""

    operation: Literal["SUM", "PROD"] = "SUM"
    stable_prod_grad: Ignored


class Softmax(_Message):
    """SoftmaxParameter."""

    axis: int = Field(default=1, ge=1, le=3)
    engine: Ignored


M = TypeVar("M", bound=BaseModel)


def checked(kind: type[M], message: Message, place: str) -> M:
    """The message as `kind`; NetworkError, with `place` before it, for fields that do not fit."""
    try:
        return kind.model_validate(message)
    except ValidationError as error:
        raise NetworkError(place + first_problem(error, list(kind.model_fields))) from None
