"""Windows of an image as columns: what a convolution multiplies its matrix with."""

from accelsim.kernels._jit import jit
from accelsim.kernels.types import Array


@jit
def gather_patches(
    image: Array,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    dilation_h: int,
    dilation_w: int,
    top: int,
    left: int,
    places_w: int,
    first: int,
    patches: Array,
) -> None:
    """Patches of the places first, first + 1, ... in row-major order of the output image.

    image: number[channels, height, width]; patches: number[channels * kernel_h * kernel_w, n], filled,
    a column per place; what lies beyond the image is 0. top, left: rows and columns of zeros before it.
    """
    height, width = image.shape[1], image.shape[2]
    n = patches.shape[1]
    row = 0
    for c in range(image.shape[0]):
        for i in range(kernel_h):
            for j in range(kernel_w):
                done = 0
                while done < n:  # one line of the output after the other
                    y, x = divmod(first + done, places_w)
                    count = min(n - done, places_w - x)
                    source_y = y * stride_h + i * dilation_h - top
                    if 0 <= source_y < height:
                        start = x * stride_w + j * dilation_w - left
                        for p in range(count):
                            source_x = start + p * stride_w
                            inside = 0 <= source_x < width
                            patches[row, done + p] = (
                                image[c, source_y, source_x if inside else 0] if inside else 0
                            )
                    else:
                        patches[row, done : done + count] = 0
                    done += count
                row += 1
