"""The parts that backbones from timm have in common; loads neither torch nor timm."""

from __future__ import annotations

from collections.abc import Callable

from sweeper.api import Axis, Network, NetworkBuild, NetworkModule, OneOf, Params, recipe, size, training_set

WEIGHTS = Axis(
    "weights",
    OneOf("imagenet", "random"),
    default="imagenet",
    doc="what it starts from: imagenet, the pretrained weights; random, none",
)
RECIPE = recipe(epochs=50, batch_size=32, learning_rate=1e-4, schedule="time", decay=1e-5)
"""Fine-tuning of camSortXS, section 4.2."""


REQUIRES = ("torch", "timm")


def backbone(
    name: str,
    model: str,
    source: str,
    width: Callable[[Params], int],
    default_size: int,
    least_size: int,
    pretrained: bool = True,
) -> Network:
    """Return a model of timm as a :class:`Network`, whose features are what its classifier would read.

    Parameters
    ----------
    name : str
        The network's.
    model : str
        timm's name, with the tag of its weights where it has any.
    source : str
    width : callable
        Parameters to the number of features.
    default_size, least_size : int
        Width and height of its input, pixels.
    pretrained : bool
        Whether timm has weights for it.
    """

    def build(spec: NetworkBuild) -> NetworkModule:
        from ._timm_module import build_backbone

        module: NetworkModule = build_backbone(name, model, spec)
        return module

    return Network(
        name=name,
        version=1,
        source=source,
        axes=(
            training_set() if pretrained else training_set("unbalanced", "balanced", "augmented"),
            size(default_size, least_size),
            *([WEIGHTS] if pretrained else []),
        ),
        recipe=RECIPE,
        width=width,
        build=build,
        requires=REQUIRES,
        pretrained=model if pretrained else None,
    )
