"""Fitted classifiers become bytes and come back with the same scores to the bit; hostile bytes do not."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import Build, Classifier, Estimator
from sweeper.errors import InputError
from sweeper.sorter.estimators import dump_estimator, load_estimator

SMALL = {"n_trees": 7, "max_depth": 4, "C": 8.0}


def built(name: str, n_classes: int) -> tuple[Classifier, Estimator]:
    plugin = plugins.classifier(name)
    params = {axis.name: SMALL.get(axis.name, axis.default) for axis in plugin.axes}
    return plugin, plugin.build(Build(params, 1.0, n_classes, 3, 1))


def fitted(name: str, n_classes: int = 3) -> tuple[Classifier, Estimator, Any]:
    plugin, estimator = built(name, n_classes)
    x = np.random.default_rng(0).normal(size=(90, 4))
    y = np.arange(90) % n_classes
    estimator.fit(x + y[:, None], y, np.ones(90))
    return plugin, estimator, x + y[:, None]


def loaded(name: str, suffix: str, data: bytes, n_features: int = 4, n_classes: int = 3) -> Estimator:
    plugin, fresh = built(name, n_classes)
    return load_estimator(plugin, fresh, suffix, data, n_features, n_classes, "m.sweeper")


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", plugins.classifier_names())
def test_scores_are_equal_to_the_bit(name: str, n_classes: int) -> None:
    plugin, estimator, x = fitted(name, n_classes)
    if plugin.is_head:
        x = x[:, :n_classes]
    suffix, data = dump_estimator(plugin, estimator)
    again = loaded(name, suffix, data, n_classes=n_classes)
    assert estimator.scores(x).tobytes() == again.scores(x).tobytes()


@pytest.mark.parametrize("name", [n for n in plugins.classifier_names() if n != "head"])
def test_broken_weights_are_refused(name: str) -> None:
    plugin, estimator, _ = fitted(name)
    suffix, data = dump_estimator(plugin, estimator)
    for broken in (b"", data[: len(data) // 2], b"\x00" * len(data), data[:50] + b"\xff" * 40 + data[90:]):
        with pytest.raises(InputError, match=r"^m\.sweeper: "):
            loaded(name, suffix, broken)
    with pytest.raises(InputError, match="features"):
        loaded(name, suffix, data, n_features=3)
    other = "lightgbm" if suffix == "skops" else "skops"
    with pytest.raises(InputError, match=r"^m\.sweeper: "):
        loaded(name, other, data)


def edited(data: bytes, change: Any) -> bytes:
    """Return a skops file whose schema `change` was applied to, as text."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        for info in old.infolist():
            member = old.read(info)
            new.writestr(info.filename, change(member.decode()) if info.filename == "schema.json" else member)
    return file.getvalue()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("sklearn.pipeline", "Pipeline")]
)
def test_types_that_are_not_on_the_list_are_refused(module: str, name: str) -> None:
    plugin, estimator, _ = fitted("svm")
    _, data = dump_estimator(plugin, estimator)

    def change(schema: str) -> str:
        return schema.replace('"SVC"', json.dumps(name)).replace('"sklearn.svm._classes"', json.dumps(module))

    with pytest.raises(InputError, match=rf"type {module}\.{name} .*not one"):
        loaded("svm", "skops", edited(data, change))


def test_loaders_that_call_are_refused() -> None:
    plugin, estimator, _ = fitted("svm")
    _, data = dump_estimator(plugin, estimator)
    for loader in ("FunctionNode", "MethodNode", "PartialNode", "OperatorFuncNode", "ReduceNode"):
        changed = edited(data, lambda s, to=loader: s.replace('"ObjectNode"', json.dumps(to)))
        with pytest.raises(InputError, match=loader):
            loaded("svm", "skops", changed)


def test_a_compressed_member_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 10_000_000)
    with pytest.raises(InputError, match="compressed"):
        loaded("svm", "skops", file.getvalue())


@pytest.mark.parametrize("name", ["rf", "et"])
def test_a_tree_that_leads_out_of_its_arrays_is_refused(name: str) -> None:
    plugin, estimator, _ = fitted(name)
    nodes = estimator.estimator.estimators_[2].tree_  # type: ignore[attr-defined]
    for attribute, value in (("children_left", 10_000), ("children_right", 0), ("feature", 99)):
        before = getattr(nodes, attribute)[0]
        getattr(nodes, attribute)[0] = value
        suffix, data = dump_estimator(plugin, estimator)
        getattr(nodes, attribute)[0] = before
        with pytest.raises(InputError, match="leads nowhere"):
            loaded(name, suffix, data)


@pytest.mark.parametrize(
    ("line", "value"), [("left_child", "5000"), ("right_child", "-5000"), ("split_feature", "77")]
)
def test_a_tree_of_lightgbm_that_leads_out_of_its_arrays_is_refused(line: str, value: str) -> None:
    plugin, estimator, _ = fitted("lightgbm")
    suffix, data = dump_estimator(plugin, estimator)
    lines = data.decode().split("\n")
    place = next(i for i, text in enumerate(lines) if text.startswith(f"{line}="))
    values = lines[place].partition("=")[2].split()
    lines[place] = f"{line}=" + " ".join([value, *values[1:]])
    with pytest.raises(InputError, match="leads nowhere"):
        loaded("lightgbm", suffix, "\n".join(lines).encode())


@pytest.mark.parametrize(("name", "value"), [("left_children", 5000), ("split_indices", 77)])
def test_a_tree_of_xgboost_that_leads_out_of_its_arrays_is_refused(name: str, value: int) -> None:
    plugin, estimator, _ = fitted("xgboost")
    suffix, data = dump_estimator(plugin, estimator)
    model = json.loads(data)
    model["learner"]["gradient_booster"]["model"]["trees"][0][name][0] = value
    with pytest.raises(InputError, match="leads nowhere"):
        loaded("xgboost", suffix, json.dumps(model).encode())


def test_what_cannot_be_exported_is_said() -> None:
    class Odd:
        estimator = frozenset((1, 2))

    with pytest.raises(InputError, match="'estimator' must hold a model of one of sklearn, lightgbm"):
        dump_estimator(plugins.classifier("rf"), Odd())  # type: ignore[arg-type]
