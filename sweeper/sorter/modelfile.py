"""A model as a file: what stands in it, and how it is read without trusting it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Build
from sweeper.data.format import Reading
from sweeper.errors import InputError
from sweeper.evaluate.calibration import METHODS, Calibrator
from sweeper.evaluate.folds import FittedPipeline
from sweeper.evaluate.reducers import FittedReducer
from sweeper.features.representation import Kind, NetworkFeatures, Words, representation
from sweeper.networks.runtime import Reader
from sweeper.pipeline import Pipeline, canonical_json
from sweeper.sorter.archive import digest_of, from_array, read_archive, to_array, write_archive
from sweeper.sorter.estimators import dump_estimator, load_estimator
from sweeper.sorter.model import Model, Part
from sweeper.sorter.outline import Outline, name_of
from sweeper.sorter.promises import Calibration, Promise
from sweeper.sorter.strangers import Neighbours, Signs

FORMAT = (2, 1)
"""Raise the second number when something is added that older versions may pass over, else the first."""

_MANIFEST = "model.json"
_CALIBRATION = "calibration/"
_REDUCER = ("shift", "scale", "projection")
_WIDTH = 8  # statistics of counts that neighbours are found by


class _PartEntry(msgspec.Struct):
    """An entry of the manifest for a part."""

    pipeline: dict[str, Any]
    code: list[int | str]
    """Versions or digests of the code of the featurizers and the classifier."""
    networks: dict[str, str]
    """Featurizer to the member that holds its network; parts may share one."""
    estimator: str
    n_train: int
    weight: float
    sharpness: float | None


class _Manifest(msgspec.Struct):
    """The member that says what the others are."""

    format: tuple[int, int]
    sweeper: str
    classes: list[str]
    parts: list[_PartEntry]
    calibration: str
    margins: bool
    of_domains: bool
    between: bool
    error_rate: float | None
    by_class: bool
    never_miss: list[str]
    recall: float
    class_costs: dict[str, float]
    dataset: str | None
    scan_grid: bool
    own_mask: bool
    card: dict[str, Any]
    digests: dict[str, str]
    reads_header: bool = False
    eager: list[str] = []
    """Featurizers whose network PyTorch reads, since ONNX Runtime came to other features at export."""


class _Format(msgspec.Struct):
    format: tuple[int, int]
    sweeper: str


def save_model(model: Model, path: Path) -> Model:
    """Write a model to one file; return it as the file has it.

    Raises
    ------
    InputError
        A classifier of it cannot be exported.
    OSError
        The file cannot be written.
    """
    from importlib.metadata import version

    members: dict[str, bytes] = {}
    entries = []
    for i, part in enumerate(model.parts):
        entry, more = _part_members(part, f"part{i}")
        entries.append(entry)
        members |= more
    for name, array in _arrays(model).items():
        members[f"{name}.npy"] = from_array(array)
    manifest = _Manifest(
        format=FORMAT,
        sweeper=version("sweeper"),
        classes=list(model.classes),
        parts=entries,
        calibration=model.calibrator.method,
        margins=model.calibrator.margins,
        of_domains=model.calibration.of_domains,
        between=model.signs.between,
        error_rate=model.promise.error_rate,
        by_class=model.promise.by_class,
        never_miss=list(model.promise.never_miss),
        recall=model.promise.recall,
        class_costs=dict(model.promise.class_costs),
        dataset=model.reading.dataset,
        scan_grid=model.reading.scan_grid,
        own_mask=model.reading.own_mask,
        reads_header=model.reading.header,
        card=dict(model.card),
        digests={name: digest_of(data) for name, data in members.items()},
        eager=sorted({kind.network.name for kind in model.networks if kind.reader is None}),
    )
    write_archive(path, {_MANIFEST: msgspec.json.encode(manifest), **members})
    return load_model(path)


def load_model(path: str | Path) -> Model:
    """Read a model; nothing that stands in the file is run.

    Raises
    ------
    InputError
        It is no model, is damaged, needs a newer Sweeper, or a plugin or library that is not here; the
        message says which.
    """
    called = str(path)
    members = read_archive(Path(path), called)
    manifest = _read_manifest(members, called)
    try:
        return _model(manifest, members, _all_arrays(members, called), called)
    except KeyError as error:
        raise InputError(f"{called}: is damaged: {error.args[0]} is missing in it") from None


def _read_manifest(members: Mapping[str, bytes], called: str) -> _Manifest:
    if _MANIFEST not in members:
        raise InputError(f"{called}: must be a model file as sweeper export writes it, it has no {_MANIFEST}")
    try:
        head = msgspec.json.decode(members[_MANIFEST], type=_Format)
        if head.format[0] != FORMAT[0]:
            newer = "a newer" if head.format[0] > FORMAT[0] else "an older"
            raise InputError(
                f"{called}: was written in {newer} form ({head.format[0]}, this Sweeper reads {FORMAT[0]}) "
                f"by Sweeper {head.sweeper}: install that version, or export the model again"
            )
        manifest = msgspec.json.decode(members[_MANIFEST], type=_Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{called}: is damaged: {_MANIFEST}: {error}") from None
    for name, data in members.items():
        if name != _MANIFEST and manifest.digests.get(name) != digest_of(data):
            raise InputError(f"{called}: is damaged: {name} is not what was written")
    return manifest


def load_outline(path: str | Path) -> Outline:
    """Read what is known of a model without its pipelines, of which neither plugins nor libraries are needed.

    Raises
    ------
    InputError
        As :func:`load_model`, of what is read.
    """
    called = str(path)
    members = read_archive(Path(path), called, (_MANIFEST, _CALIBRATION))
    manifest = _read_manifest(members, called)
    try:
        return _outline(manifest, members, _all_arrays(members, called), called)
    except KeyError as error:
        raise InputError(f"{called}: is damaged: {error.args[0]} is missing in it") from None


def _all_arrays(members: Mapping[str, bytes], called: str) -> dict[str, NDArray[Any]]:
    return {
        name.removesuffix(".npy"): to_array(data, f"{called}: {name}")
        for name, data in members.items()
        if name.endswith(".npy")
    }


def _outline(
    manifest: _Manifest, members: Mapping[str, bytes], arrays: Mapping[str, NDArray[Any]], called: str
) -> Outline:
    classes = tuple(manifest.classes)
    _check_classes(manifest, called)
    promise = Promise(
        manifest.error_rate,
        manifest.by_class,
        tuple(manifest.never_miss),
        manifest.recall,
        tuple(manifest.class_costs.items()),
    )
    try:
        promise.check(classes)
        name = name_of([Pipeline.from_dict(entry.pipeline) for entry in manifest.parts])
    except InputError as error:
        raise InputError(f"{called}: is damaged: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"{called}: is damaged: it names no pipeline") from None
    return Outline(
        id=digest_of(members[_MANIFEST])[:12],
        name=name,
        classes=classes,
        calibration=_calibration(manifest, arrays, called),
        promise=promise,
        reading=Reading(manifest.dataset, manifest.scan_grid, manifest.own_mask, manifest.reads_header),
        card=manifest.card,
    )


def _check_classes(manifest: _Manifest, called: str) -> None:
    n = len(manifest.classes)
    if n < 2 or not manifest.parts or len(set(manifest.classes)) < n:
        raise InputError(f"{called}: is damaged: it must have a pipeline and two classes at least")


def _model(
    manifest: _Manifest, members: Mapping[str, bytes], arrays: Mapping[str, NDArray[Any]], called: str
) -> Model:
    _check_classes(manifest, called)
    n = len(manifest.classes)
    networks = _Networks(members, manifest.eager, called)
    parts = tuple(
        _part(entry, f"part{i}", members, arrays, networks, n, called)
        for i, entry in enumerate(manifest.parts)
    )
    of_counts = Neighbours.of_arrays(_under("counts", arrays), _WIDTH, called)
    of_features = Neighbours.of_arrays(_under("features", arrays), _width(parts[0].kinds), called)
    signs = Signs(arrays["sizes"], manifest.between, arrays["masked"], of_counts, of_features)
    _check_shapes(called, {"sizes": (len(signs.sizes), 2), "masked": (2,)}, arrays)
    return Model(
        **vars(_outline(manifest, members, arrays, called)),
        parts=parts,
        calibrator=_calibrator(manifest, arrays, n, called),
        signs=signs,
        mask=arrays["mask"].astype(np.bool_) if "mask" in arrays else None,
    )


def _check_shapes(
    called: str, shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, NDArray[Any]]
) -> None:
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise InputError(f"{called}: is damaged: {name} is of shape {arrays[name].shape}")


def _under(folder: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.partition("/")[2]: a for name, a in arrays.items() if name.startswith(f"{folder}/")}


def _arrays(model: Model) -> dict[str, NDArray[Any]]:
    """Return the arrays of a model that belong to no part, by the names of their members."""
    found = {
        "sizes": model.signs.sizes,
        "masked": model.signs.masked,
        f"{_CALIBRATION}probabilities": model.calibration.probabilities,
        f"{_CALIBRATION}labels": model.calibration.labels,
        f"{_CALIBRATION}groups": model.calibration.groups,
        **{f"calibrator/{name}": array for name, array in model.calibrator.arrays.items()},
        **{f"counts/{name}": array for name, array in model.signs.counts.to_arrays().items()},
        **{f"features/{name}": array for name, array in model.signs.features.to_arrays().items()},
    }
    return found if model.mask is None else {**found, "mask": model.mask}


# --------------------------------------------------------------------------- calibration


def _calibration(manifest: _Manifest, arrays: Mapping[str, NDArray[Any]], called: str) -> Calibration:
    found = _under("calibration", arrays)
    n, n_classes = len(found["labels"]), len(manifest.classes)
    _check_shapes(called, {"probabilities": (n, n_classes), "labels": (n,), "groups": (n,)}, found)
    probabilities, labels = found["probabilities"], found["labels"].astype(np.int64)
    if not np.isfinite(probabilities).all() or not ((labels >= 0) & (labels < n_classes)).all():
        raise InputError(f"{called}: is damaged: its calibration frames have no classes or probabilities")
    return Calibration(probabilities, labels, found["groups"].astype(np.int64), manifest.of_domains)


def _calibrator(
    manifest: _Manifest, arrays: Mapping[str, NDArray[Any]], n_classes: int, called: str
) -> Calibrator:
    if manifest.calibration not in METHODS:
        raise InputError(
            f"{called}: calibration must be one of {', '.join(METHODS)}, got {manifest.calibration!r}"
        )
    found = _under("calibrator", arrays)
    by_method: dict[str, dict[str, tuple[int, ...]]] = {
        "none": {},
        "temperature": {"sharpness": (1,)},
        "platt": {"slope": (n_classes,), "offset": (n_classes,)},
        "isotonic": {"ends": (n_classes,)},
    }
    _check_shapes(called, by_method[manifest.calibration], found)
    if manifest.calibration == "isotonic":
        ends = np.concatenate([[0], found["ends"]])
        if found["x"].shape != (ends[-1],) or found["y"].shape != (ends[-1],) or (np.diff(ends) < 1).any():
            raise InputError(f"{called}: is damaged: the steps of its calibration do not fit together")
    return Calibrator(manifest.calibration, manifest.margins, found)


# --------------------------------------------------------------------------- parts


def _part_members(part: Part, folder: str) -> tuple[_PartEntry, dict[str, bytes]]:
    members: dict[str, bytes] = {}
    networks: dict[str, str] = {}
    classifier = plugins.classifier(part.pipeline.classifier)
    suffix, fitted = dump_estimator(classifier, part.fitted.estimator)
    if suffix:
        members[f"{folder}/classifier.{suffix}"] = fitted
    for name in _REDUCER:
        if (array := getattr(part.fitted.reducer, name)) is not None:
            members[f"{folder}/{name}.npy"] = from_array(array)
    for kind, place in _places(part.kinds, folder):
        match kind:
            case Words():
                assert kind.centres is not None
                members[f"{place}/centres.npy"] = from_array(kind.centres)
            case NetworkFeatures():
                data = _network_bytes(kind, part.fitted.n_classes)
                name = networks[kind.network.name] = f"networks/{digest_of(data)}.safetensors"
                members[name] = data
    entry = _PartEntry(
        pipeline=part.pipeline.to_dict(),
        code=_code(part.pipeline),
        networks=networks,
        estimator=suffix,
        n_train=part.fitted.n_train,
        weight=part.weight,
        sharpness=None if math.isnan(part.sharpness) else part.sharpness,
    )
    return entry, members


def _places(kinds: Sequence[Kind], folder: str) -> list[tuple[Kind, str]]:
    """Return representations with the folder of each: of several side by side every one has its own."""
    return [(kind, folder if len(kinds) == 1 else f"{folder}_{i}") for i, kind in enumerate(kinds)]


def _width(kinds: Sequence[Kind]) -> int:
    return sum(len(kind.columns) for kind in kinds)


def _code(pipeline: Pipeline) -> list[int | str]:
    features = [plugins.code_digest("featurizer", choice.name) for choice in pipeline.features]
    return [*features, plugins.code_digest("classifier", pipeline.classifier)]


def _part(
    entry: _PartEntry,
    folder: str,
    members: Mapping[str, bytes],
    arrays: Mapping[str, NDArray[Any]],
    networks: _Networks,
    n_classes: int,
    called: str,
) -> Part:
    pipeline = _pipeline(entry, called)
    plugin = plugins.classifier(pipeline.classifier)
    unfitted = [representation(single, n_classes) for single in pipeline.singles]
    kinds = tuple(
        networks.put(kind, entry.networks[kind.network.name])
        if isinstance(kind, NetworkFeatures)
        else _kind(kind, place, arrays, called)
        for kind, place in _places(unfitted, folder)
    )
    reducer = FittedReducer(**{name: arrays.get(f"{folder}/{name}") for name in _REDUCER})
    width = _check_reducer(reducer, _width(kinds), called)
    params = {axis.name: pipeline.classifier_params.get(axis.name, axis.default) for axis in plugin.axes}
    params.pop("class_weight", None)
    estimator = plugin.build(Build(params, 1.0, n_classes, 0, 1))
    fitted = members[f"{folder}/classifier.{entry.estimator}"] if entry.estimator else b""
    estimator = load_estimator(plugin, estimator, entry.estimator, fitted, width, n_classes, called)
    sharpness = float("nan") if entry.sharpness is None else entry.sharpness
    fit = FittedPipeline(reducer, estimator, n_classes, entry.n_train, 0.0)
    return Part(pipeline, kinds, fit, entry.weight, sharpness)


def _kind(kind: Kind, place: str, arrays: Mapping[str, NDArray[Any]], called: str) -> Kind:
    """Return a representation that is no network with what it was fitted on frames."""
    if not isinstance(kind, Words):
        return kind
    centres = arrays[f"{place}/centres"]
    width = kind.featurizer.descriptor_width
    if centres.ndim != 2 or len(centres) > kind.clusters or (centres.size and centres.shape[1] != width):
        raise InputError(f"{called}: is damaged: its codebook is of shape {centres.shape}")
    return Words(kind.params, kind.featurizer, centres.astype(np.float32))


def _pipeline(entry: _PartEntry, called: str) -> Pipeline:
    """Return the pipeline of a part; InputError where its plugins are not here as they were."""
    try:
        pipeline = Pipeline.from_dict(entry.pipeline)
        plugins.check_installed("featurizer", [choice.name for choice in pipeline.features])
        plugins.check_installed("classifier", [pipeline.classifier])
        code = _code(pipeline)
    except InputError as error:
        raise InputError(f"{called}: {error}") from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"{called}: is damaged: it names no pipeline") from None
    names = (*(choice.name for choice in pipeline.features), pipeline.classifier)
    if len(entry.code) != len(names):
        raise InputError(f"{called}: is damaged: it names no pipeline")
    for name, was, here in zip(names, entry.code, code, strict=True):
        if was != here:
            raise InputError(
                f"{called}: was made with version {was} of {name}, here is {here}: install the Sweeper that "
                "made it, or export the model again"
            )
    return pipeline


def _check_reducer(reducer: FittedReducer, width: int, called: str) -> int:
    """Return the number of features that a reducer gives; InputError where its parts do not fit."""
    shapes = [None if array is None else array.shape for array in (reducer.shift, reducer.scale)]
    fine = shapes in ([None, None], [(width,), (width,)])
    if reducer.projection is not None:
        fine = fine and reducer.projection.ndim == 2 and reducer.projection.shape[0] == width
        width = reducer.projection.shape[-1]
    if not fine:
        raise InputError(f"{called}: is damaged: its reducer does not take {width} features")
    return width


# --------------------------------------------------------------------------- networks


def _network_bytes(kind: NetworkFeatures, n_classes: int) -> bytes:
    from sweeper.networks.model import ModelInfo, save_weights

    module: Any = kind.module
    info = ModelInfo(kind.network.name, kind.network.version, dict(kind.params), n_classes)
    with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
        path = Path(folder, "network.safetensors")
        save_weights(path, module.state_dict(), info)
        return path.read_bytes()


class _Networks:
    """The networks of a file, each loaded once, whatever the number of parts that share it."""

    def __init__(self, members: Mapping[str, bytes], eager: Sequence[str], called: str) -> None:
        self._members, self._eager, self._called = members, eager, called
        self._loaded: dict[str, tuple[Any, Any]] = {}
        self._readers: dict[str, Reader] = {}

    def put(self, kind: NetworkFeatures, member: str) -> NetworkFeatures:
        """Return a representation with the network that a member holds."""
        if member not in self._loaded:
            self._loaded[member] = self._load(self._members[member])
        module, info = self._loaded[member]
        name = kind.network.name
        if info.network != name or canonical_json(info.params) != canonical_json(kind.params):
            raise InputError(
                f"{self._called}: is damaged: its network is {info.network} with other parameters"
            )
        if name not in self._eager and member not in self._readers:
            self._readers[member] = Reader(module, int(kind.params["size"]), f"{self._called}: {name}")
        return replace(kind, module=module, reader=self._readers.get(member))

    def _load(self, data: bytes) -> tuple[Any, Any]:
        from sweeper.networks.model import load_model as load_network

        with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
            path = Path(folder, "network.safetensors")
            path.write_bytes(data)
            try:
                return load_network(path)
            except InputError as error:
                raise InputError(f"{self._called}: {error}") from None
