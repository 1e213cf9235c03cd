"""LeNet, trained from scratch on the frames."""

from __future__ import annotations

from sweeper.api import Network, NetworkBuild, NetworkModule, Params, recipe, size, training_set

WIDTH = 192  # neurons of the first fully connected layer, after their ReLU


def _width(params: Params) -> int:
    return WIDTH


def _build(build: NetworkBuild) -> NetworkModule:
    from ._lenet import LeNet

    assert build.weights is None, "LeNet has no pretrained weights"
    module: NetworkModule = LeNet(build.params["size"], build.n_classes)
    return module


FEATURIZER = Network(
    name="lenet",
    version=1,
    source="LeCun et al., Proc. IEEE 86 (1998) 2278; layers and training of camSortXS, sections 3.1.2, 4.2",
    axes=(training_set("unbalanced", "balanced", "augmented"), size(256, least=16)),
    recipe=recipe(epochs=50, batch_size=64, learning_rate=1e-3, schedule="time", decay=1e-4),
    width=_width,
    build=_build,
)
"""Three 3×3 convolutions of 64, 64 and 48 filters, each with ReLU, 2×2 max-pooling and batch norm; fully
connected layers of 192 and 64 with ReLU and a dropout of 0.5 between them; the classes.

Features are the 192 values of the first fully connected layer, rectified, before the dropout. The paper
does not say how large its input was.
"""
