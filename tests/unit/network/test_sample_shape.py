import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.network.onnx.sample_shape import Samples, SampleShape

SAMPLES = 3
SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def pair(sizes, batch, is_dynamic):
    """A shape, and an array of it with three samples."""
    batch %= len(sizes)
    actual = [SAMPLES if axis == batch else size for axis, size in enumerate(sizes)]
    dims = [None if is_dynamic and axis == batch else size for axis, size in enumerate(actual)]
    return SampleShape(tuple(dims), batch), np.arange(np.prod(actual)).reshape(actual)


def assert_samples_stay_apart(shape, array, after, rearranged, order=None):
    """Each sample's values, and no others, are where the new shape says, in the order that is given."""
    assert after.batch is not None
    for sample in range(SAMPLES):
        before = np.take(array, sample, axis=shape.batch)
        before = before if order is None else before.transpose(order)
        now = np.take(rearranged, sample, axis=after.batch)
        np.testing.assert_array_equal(now.ravel(), before.ravel())
        assert now.shape == (after.example if len(after.dims) > 1 else ())


@given(
    SIZES, st.integers(0, 3), st.booleans(), st.lists(st.sampled_from([-1, 0, 1, 2, 3, 4, 6, 8, 9]))
)
def test_a_reshape_is_refused_or_keeps_samples_apart(sizes, batch, is_dynamic, target):
    shape, array = pair(sizes, batch, is_dynamic)
    try:
        after = shape.reshaped(target)
        wanted = [array.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
        rearranged = array.reshape(wanted)
    except ValueError:
        return
    assert_samples_stay_apart(shape, array, after, rearranged)


@given(SIZES, st.integers(0, 3), st.booleans(), st.integers(-4, 4))
def test_a_flatten_is_refused_or_keeps_samples_apart(sizes, batch, is_dynamic, axis):
    shape, array = pair(sizes, batch, is_dynamic)
    try:
        after = shape.flattened(axis)
    except ValueError:
        return
    place = axis % len(array.shape) if axis < 0 else axis
    rearranged = array.reshape(int(np.prod(array.shape[:place])), -1)
    assert_samples_stay_apart(shape, array, after, rearranged)


@given(SIZES, st.integers(0, 3), st.booleans(), st.randoms())
def test_a_transpose_keeps_samples_apart(sizes, batch, is_dynamic, random):
    shape, array = pair(sizes, batch, is_dynamic)
    order = list(range(len(sizes)))
    random.shuffle(order)
    after = shape.transposed(order)
    places = [shape.example_axis(axis) for axis in order if axis != shape.batch]
    assert_samples_stay_apart(shape, array, after, array.transpose(order), places)


@given(SIZES, st.integers(0, 3), st.lists(st.integers(-5, 4), max_size=2))
def test_axes_of_size_1_come_and_go_as_in_numpy(sizes, batch, axes):
    shape, array = pair(sizes, batch, is_dynamic=False)
    try:
        expected = np.expand_dims(array, tuple(axes))
    except (ValueError, np.exceptions.AxisError):
        with pytest.raises(ValueError, match="cannot add"):
            shape.unsqueezed(axes)
        return
    after = shape.unsqueezed(axes)
    assert after.dims == expected.shape
    assert after.dims[after.batch] == SAMPLES
    dropped = after.squeezed(axes)
    assert dropped == shape


def test_the_number_of_samples_is_known_where_it_was_computed():
    shape = SampleShape((None, 6), 0)
    assert shape.reshaped([1, Samples(1), 6]) == SampleShape((1, None, 6), 1)
    assert shape.reshaped([Samples(1), 1, 6]) == SampleShape((None, 1, 6), 0)
    with pytest.raises(ValueError, match="mixes"):
        shape.reshaped([1, 1, 6])
    with pytest.raises(ValueError, match="mixes"):
        shape.reshaped([6, Samples(1)])


def test_one_sample_may_take_any_shape():
    shape = SampleShape((1, 2, 6), 0)
    assert shape.reshaped([4, 3]) == SampleShape((4, 3), None)
    assert shape.reshaped([-1]) == SampleShape((12,), None)
    assert shape.squeezed(None) == SampleShape((2, 6), None)
    assert shape.flattened(2) == SampleShape((2, 6), None)
    assert SampleShape((3, 1, 5), None).with_batch(1).example == (3, 5)


def test_sizes_that_are_not_fixed_stay_unknown():
    shape = SampleShape((None, None, 4), 0)
    assert shape.width is None
    assert shape.reshaped([-1, 8]) == SampleShape((None, 8), 0)
    assert shape.flattened(1) == SampleShape((None, None), 0)
    assert shape.sizes == [1, None, 4]
