"""The layers of DeepFreak; torch is imported with this module, so import it lazily."""

from __future__ import annotations

import torch
from torch import nn

from ._topologies import PAPER_SIZE, Topology

BLOCKS = (3, 4, 6, 3)
EXPANSION = 4


class Bottleneck(nn.Module):  # type: ignore[misc]
    """1×1, 3×3 and 1×1 convolutions around a shortcut; the 3×3 one carries the stride."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        out = filters * EXPANSION
        self.conv1 = nn.Conv2d(channels, filters, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.conv3 = nn.Conv2d(filters, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(y + shortcut)


class DeepFreak(nn.Module):  # type: ignore[misc]
    """ResNet-50 with a topology of the paper's Table 8; layers are named as torchvision names them.

    Parameters
    ----------
    topology : Topology
    size : int
        Width and height of the input. The second pool of a topology is made for 512 pixels; at other
        sizes its kernel shrinks or grows in proportion, and is never larger than the maps.
    n_classes : int

    Attributes
    ----------
    pixel_mean : float32, (1, size, size)
        Buffer, subtracted from the input: the training loop puts the mean of the training frames there.

    Notes
    -----
    Convolutions start normal with variance 2 / fan-out (He et al., ICCV 2015), batch norms as the
    identity, the fully connected layer as torch's default, all as torchvision's ResNet does.
    """

    has_maps = True

    def __init__(self, topology: Topology, size: int, n_classes: int) -> None:
        super().__init__()
        t = topology
        self.conv1 = nn.Conv2d(1, t.filters, t.conv_kernel, t.conv_stride, t.conv_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(t.filters)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(t.pool_kernel, t.pool_stride, t.pool_kernel // 2)
        channels = t.filters
        for i, (n_blocks, stride) in enumerate(zip(BLOCKS, t.block_strides, strict=True)):
            filters = t.filters * 2**i
            strides = (stride, *(1,) * (n_blocks - 1))
            inputs = (channels, *(filters * EXPANSION,) * (n_blocks - 1))
            stage = (Bottleneck(c, filters, s) for c, s in zip(inputs, strides, strict=True))
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
            channels = filters * EXPANSION
        maps = t.maps_size(size)
        kernel = min(max(round(t.last_pool_kernel * size / PAPER_SIZE), 1), maps)
        self.avgpool = nn.AvgPool2d(kernel, t.last_pool_stride)
        pooled = (maps - kernel) // t.last_pool_stride + 1
        self.fc = nn.Linear(channels * pooled**2, n_classes)
        self.register_buffer("pixel_mean", torch.zeros(1, size, size))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maps of the last block, (n, 32 × filters, h, h) with h of :meth:`Topology.maps_size`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x - self.pixel_mean))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x

    def read(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features, maps averaged over positions, (n, 32 × filters), and logits, (n, n_classes)."""
        return maps.mean((2, 3)), self.fc(self.avgpool(maps).flatten(1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``read(maps(x))``."""
        return self.read(self.maps(x))
