"""DeepFreak: ResNet-50 made to shrink large frames faster, trained from scratch."""

from __future__ import annotations

from sweeper.api import Axis, Network, NetworkBuild, NetworkModule, OneOf, Params, recipe, size, training_set

from ._topologies import PAPER_SIZE, TOPOLOGIES

FEATURES_PER_FILTER = 32  # the last stage has 8 times the filters, times the bottleneck's 4


def _width(params: Params) -> int:
    return FEATURES_PER_FILTER * TOPOLOGIES[params["topology"]].filters


def _build(build: NetworkBuild) -> NetworkModule:
    from ._deepfreak import DeepFreak

    assert build.weights is None, "DeepFreak has no pretrained weights"
    topology = TOPOLOGIES[build.params["topology"]]
    module: NetworkModule = DeepFreak(topology, build.params["size"], build.n_classes)
    return module


FEATURIZER = Network(
    name="deepfreak",
    version=1,
    source="DiffraNet (2018), section 4.3, Tables 8 and 9; He et al., CVPR 2016",
    axes=(
        training_set("unbalanced", "balanced", "augmented"),
        size(PAPER_SIZE, least=32),
        Axis(
            "topology",
            OneOf(*range(len(TOPOLOGIES))),
            default=3,
            doc="column of the paper's Table 8: 1 to 13 its adaptations of ResNet-50, 0 the unchanged one",
        ),
    ),
    recipe=recipe(
        epochs=50, batch_size=8, learning_rate=0.1, momentum=0.9, weight_decay=1e-5, schedule="step"
    ),
    width=_width,
    build=_build,
    pixel_mean=True,
)
"""ResNet-50 on one channel in [0, 1], less the per-pixel mean of the training frames.

The classifier is a fully connected layer on the flattened second pool, as wide as the topology makes it
(204,800 inputs in the unchanged one at 512 pixels). Features are the maps of the last block averaged over
positions: 2048 with 64 filters, 256 with 8, 512 with 16.
"""
