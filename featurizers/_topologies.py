"""DeepFreak's topologies; loads no library."""

from __future__ import annotations

from dataclasses import dataclass

PAPER_SIZE = 512


@dataclass(frozen=True)
class Topology:
    """One column of the paper's Table 8; kernels and strides in pixels of what they are applied to.

    Attributes
    ----------
    filters : int
        Of the first convolution; stage i of four has ``filters * 2**i`` inside its bottlenecks.
    conv_kernel, conv_stride : int
        First convolution, padded by half its kernel.
    pool_kernel, pool_stride : int
        First pool (maximum), padded by half its kernel.
    last_pool_kernel, last_pool_stride : int
        Second pool (average), at 512 pixels, before the fully connected layer.
    block_strides : tuple of int
        Of the four stages of 3, 4, 6 and 3 bottlenecks.
    """

    filters: int = 64
    conv_kernel: int = 7
    conv_stride: int = 2
    pool_kernel: int = 3
    pool_stride: int = 2
    last_pool_kernel: int = 7
    last_pool_stride: int = 1
    block_strides: tuple[int, int, int, int] = (1, 2, 2, 2)

    def maps_size(self, size: int) -> int:
        """Return width and height of the last maps for an input of `size` pixels."""
        # Kernels are odd and padded by half, so a layer keeps ceil(size / stride).
        for stride in (self.conv_stride, self.pool_stride, *self.block_strides):
            size = -(-size // stride)
        return size


TOPOLOGIES = (
    Topology(),  # 0: "Default"
    Topology(last_pool_kernel=9, last_pool_stride=2),
    Topology(last_pool_kernel=13, last_pool_stride=2),
    Topology(block_strides=(2, 2, 2, 2)),
    Topology(conv_stride=4),
    Topology(last_pool_stride=2, block_strides=(2, 2, 2, 2)),
    Topology(last_pool_kernel=15, last_pool_stride=2),
    Topology(last_pool_kernel=8, block_strides=(2, 2, 2, 2)),
    Topology(block_strides=(1, 2, 3, 3)),
    Topology(filters=8),
    Topology(filters=8, last_pool_stride=2),
    Topology(last_pool_kernel=9, last_pool_stride=2, block_strides=(1, 2, 2, 3)),
    Topology(filters=16, last_pool_kernel=9, last_pool_stride=2),
    Topology(filters=16, last_pool_stride=2),
)
"""The columns of Table 8 in its order: 0 is "Default", torchvision's ResNet-50; 1 to 13 are searched."""
