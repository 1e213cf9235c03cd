"""Any image model of the timm library, by its name: ``timm:convnext_atto``."""

from __future__ import annotations

import difflib

from sweeper.api import InputError, Network, NetworkFamily, Params

from ._timm import REQUIRES, backbone

LEAST_SIZE = 32  # what most models shrink to one position; each is tried at its size before it is used


def _suggest(wrong: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.0)
    return f"did you mean {near[0]!r}?"


def _resolve(variant: str) -> tuple[str, bool]:
    """Return timm's name with the tag of its weights, and whether it has weights.

    Raises
    ------
    InputError
        No such model, or no such weights of it; the nearest name is suggested.
    """
    import timm

    architecture, dot, _ = variant.partition(".")
    models = timm.list_models()
    if architecture not in models:
        raise InputError(f"unknown timm model {architecture!r}; {_suggest(architecture, models)}")
    tagged = [name for name in timm.list_pretrained(architecture) if name.startswith(f"{architecture}.")]
    if dot and variant not in tagged:
        raise InputError(
            f"unknown weights of a timm model {variant!r}; "
            + (_suggest(variant, tagged) if tagged else f"timm has none for {architecture}")
        )
    default = timm.get_pretrained_cfg(variant)
    if default is None or not default.has_weights:
        return architecture, False
    return (variant if dot or not default.tag else f"{architecture}.{default.tag}"), True


def _member(variant: str) -> Network:
    model, pretrained = _resolve(variant)
    from ._timm_module import default_size, probe

    own_size = default_size(model)

    def width(params: Params) -> int:
        return probe(f"timm:{variant}", model, own_size).width

    return backbone(
        name=f"timm:{variant}",
        model=model,
        source=f"timm (PyTorch Image Models), model {model}",
        width=width,
        default_size=own_size,
        least_size=min(LEAST_SIZE, own_size),
        pretrained=pretrained,
    )


FEATURIZER = NetworkFamily(
    name="timm",
    source="Wightman, PyTorch Image Models (timm), doi:10.5281/zenodo.4414861",
    member=_member,
    example="convnext_atto",
    requires=REQUIRES,
)
"""Features are what the model's classifier would read: mostly its last maps averaged over positions.

A name may carry the tag of its weights (``convnext_tiny.fb_in1k``); without one, timm's default is taken.
Inputs are of the size that the weights were trained at, unless told otherwise; training is as for the
backbones of camSortXS. Grad-CAM needs maps with positions: transformers that read a class token have none.
"""
