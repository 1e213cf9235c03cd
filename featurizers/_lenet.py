"""The layers of LeNet as camSortXS built it; torch is imported with this module, so import it lazily."""

from __future__ import annotations

import torch
from torch import nn

FILTERS = (64, 64, 48)
HIDDEN = 192  # the first fully connected layer: the features
SECOND_HIDDEN = 64
DROPOUT = 0.5


class LeNet(nn.Module):  # type: ignore[misc]
    """Three convolutions, each with ReLU, 2×2 max-pooling and batch norm; then 192, 64 and the classes.

    Parameters
    ----------
    size : int
        Width and height of the input, at least 8.
    n_classes : int

    Notes
    -----
    Weights start as Keras starts them, which the paper used: uniform after Glorot and Bengio, AISTATS
    (2010), equation 16; biases 0.
    """

    has_maps = True

    def __init__(self, size: int, n_classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 1
        for filters in FILTERS:
            blocks += [
                nn.Conv2d(channels, filters, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(filters),
            ]
            channels = filters
        self.to_maps = nn.Sequential(*blocks[:-2])  # up to the ReLU of the last convolution
        self.after_maps = nn.Sequential(*blocks[-2:], nn.Flatten())
        self.hidden = nn.Linear(channels * (size // 2 ** len(FILTERS)) ** 2, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.second_hidden = nn.Linear(HIDDEN, SECOND_HIDDEN)
        self.head = nn.Linear(SECOND_HIDDEN, n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rectified maps of the third convolution, (n, 48, size // 4, size // 4)."""
        maps: torch.Tensor = self.to_maps(x)
        return maps

    def read(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features after the first fully connected layer, (n, 192), and logits, (n, n_classes)."""
        features = torch.relu(self.hidden(self.after_maps(maps)))
        second = torch.relu(self.second_hidden(self.dropout(features)))
        return features, self.head(second)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``read(maps(x))``."""
        return self.read(self.maps(x))
