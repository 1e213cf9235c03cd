"""Fitted classifiers as bytes and back, each in the format of its library; never by pickle.

Libraries follow the indices that a tree or a machine holds without looking whether they lead anywhere: those
of a file are checked before a frame is classified by it.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from sweeper.api import Classifier, Estimator
from sweeper.errors import InputError
from sweeper.sorter.archive import read_archive, to_array

_LOADERS = {
    "DictNode", "JsonNode", "ListNode", "NdArrayNode", "ObjectNode", "TreeNode", "TupleNode", "TypeNode",
}  # fmt: skip
_TREE = "sklearn.tree._tree.Tree"
_TYPES = {
    "builtins.bool", "builtins.dict", "builtins.float", "builtins.int", "builtins.list", "builtins.str",
    "builtins.tuple", "numpy.bool", "numpy.float32", "numpy.float64", "numpy.int32", "numpy.int64",
    "numpy.ndarray", "sklearn.ensemble._forest.ExtraTreesClassifier",
    "sklearn.ensemble._forest.RandomForestClassifier", "sklearn.svm._classes.SVC",
    "sklearn.tree._classes.DecisionTreeClassifier", "sklearn.tree._classes.ExtraTreeClassifier", _TREE,
}  # fmt: skip
_MODULES = (
    "sklearn.discriminant_analysis", "sklearn.linear_model", "sklearn.naive_bayes", "sklearn.neural_network",
    "sklearn.preprocessing",
)  # fmt: skip
"""Packages of scikit-learn whose estimators are arrays alone: plugins from outside may be made of them."""
_DEEPEST = 100


@dataclass(frozen=True)
class Codec:
    """How the fitted object of a library becomes bytes and is made of them again.

    Attributes
    ----------
    library : str
        Import name.
    suffix : str
        Of the member of the archive; names the codec.
    dump : callable
        Fitted object to bytes.
    load : callable
        Bytes, number of features and number of classes to the object. It may raise anything over bytes that
        are none of its.
    """

    library: str
    suffix: str
    dump: Callable[[Any], bytes]
    load: Callable[[bytes, int, int], Any]


def dump_estimator(classifier: Classifier, estimator: Estimator) -> tuple[str, bytes]:
    """Return suffix and bytes of what an estimator has fitted; an empty suffix where there is nothing.

    Raises
    ------
    InputError
        It is of a type that cannot be exported.
    """
    if not classifier.fitted:
        return "", b""
    fitted = getattr(estimator, classifier.fitted, None)
    library = type(fitted).__module__.partition(".")[0]
    codec = next((codec for codec in CODECS if codec.library == library), None)
    if codec is None:
        known = ", ".join(codec.library for codec in CODECS)
        raise InputError(
            f"classifier {classifier.name} cannot be exported: its attribute {classifier.fitted!r} must hold "
            f"a model of one of {known}, it holds a {type(fitted).__qualname__}"
        )
    try:
        return codec.suffix, codec.dump(fitted)
    except InputError as error:
        raise InputError(f"classifier {classifier.name} cannot be exported: {error}") from None


def load_estimator(
    classifier: Classifier,
    estimator: Estimator,
    suffix: str,
    data: bytes,
    n_features: int,
    n_classes: int,
    called: str,
) -> Estimator:
    """Put what was fitted back into an estimator that the classifier has just built; return it.

    Raises
    ------
    InputError
        The bytes are damaged, or hold what they must not; the message begins with `called`.
    """
    if not classifier.fitted and not suffix:
        return estimator
    codec = next((codec for codec in CODECS if codec.suffix == suffix), None)
    if codec is None or not classifier.fitted:
        raise InputError(f"{called}: must hold a fitted {classifier.name}, it holds {suffix or 'nothing'!r}")
    try:
        fitted = codec.load(data, n_features, n_classes)
    except InputError as error:
        raise InputError(f"{called}: {error}") from None
    except ModuleNotFoundError:
        raise
    except Exception as error:  # libraries raise whatever they like over damaged models
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{called}: the {classifier.name} in it is damaged: {text}") from error
    setattr(estimator, classifier.fitted, fitted)
    return estimator


# --------------------------------------------------------------------------- scikit-learn


def _dump_sklearn(fitted: Any) -> bytes:
    data: bytes = _skops().dumps(fitted)
    _checked_types(data)
    return data


def _load_sklearn(data: bytes, n_features: int, n_classes: int) -> Any:
    fitted = _skops().loads(data, trusted=_checked_types(data))
    _check_sklearn(fitted, n_features, n_classes)
    return fitted


def _skops() -> Any:
    """Return ``skops.io``, imported without its look through scikit-learn for types that it trusts.

    That takes seconds and imports torch where it is installed; what is trusted is on the list above alone.
    """
    with patch("sklearn.utils.all_estimators", list):
        return importlib.import_module("skops.io")


def _checked_types(data: bytes) -> list[str]:
    """Return the types that a skops file names; refuse one off the list before an object is made of it."""
    members = read_archive(data, "the scikit-learn model")
    for name, member in members.items():
        if name != "schema.json":
            to_array(member, f"the scikit-learn model, {name}")
    types = set()
    for node in _nodes(json.loads(members["schema.json"]), 0):
        named = f"{node.get('__module__')}.{node.get('__class__')}"
        of_type = node.get("__loader__")
        if of_type not in _LOADERS:
            raise InputError(f"type {named} ({of_type}) is not one that a model may hold")
        if named not in _TYPES and not named.startswith(tuple(f"{module}." for module in _MODULES)):
            raise InputError(f"type {named} is not one that a model may hold")
        types.add(named)
    return sorted(types)


def _nodes(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _DEEPEST:
        raise InputError("the scikit-learn model is nested too deep")
    if isinstance(value, dict):
        if "__loader__" in value or "__class__" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item, depth + 1)


def _check_sklearn(fitted: Any, n_features: int, n_classes: int) -> None:
    if int(fitted.n_features_in_) != n_features:
        raise InputError(f"the model must take {n_features} features, it takes {fitted.n_features_in_}")
    if not np.array_equal(fitted.classes_, np.arange(n_classes)):
        raise InputError(f"the model must tell {n_classes} classes apart")
    name = type(fitted).__name__
    if name == "SVC":
        _check_machine(fitted, n_features, n_classes)
    elif name in ("RandomForestClassifier", "ExtraTreesClassifier"):
        for tree in fitted.estimators_:
            _check_tree(tree.tree_, n_features, n_classes)
    elif hasattr(fitted, "tree_") or hasattr(fitted, "estimators_"):
        raise InputError(f"a {name} is not one that a model may hold")


def _check_tree(tree: Any, n_features: int, n_classes: int) -> None:
    """Refuse a tree that leads out of its arrays or back to where it came from."""
    left, right = tree.children_left, tree.children_right
    number = np.arange(tree.node_count)
    inner = left != -1
    children = np.stack([left[inner], right[inner]])
    fine = (
        tree.n_features == n_features
        and tree.value.shape == (tree.node_count, 1, n_classes)
        and np.array_equal(inner, right != -1)
        and bool(((children > number[inner]) & (children < tree.node_count)).all())
        and bool(((tree.feature[inner] >= 0) & (tree.feature[inner] < n_features)).all())
    )
    if not fine:
        raise InputError("the model is damaged: a tree leads nowhere")


def _check_machine(machine: Any, n_features: int, n_classes: int) -> None:
    vectors = len(machine.support_vectors_)
    pairs = n_classes * (n_classes - 1) // 2
    fine = (
        machine.kernel == "rbf"
        and machine._sparse is False
        and machine.support_vectors_.shape == (vectors, n_features)
        and machine._n_support.shape == (n_classes,)
        and bool((machine._n_support >= 0).all())
        and int(machine._n_support.sum()) == vectors
        and machine._dual_coef_.shape == (n_classes - 1, vectors)
        and machine._intercept_.shape == (pairs,)
        and machine.support_.shape == (vectors,)
        and machine.probability in (False, "deprecated")
    )
    if not fine:
        raise InputError("the model is damaged: the parts of its support vector machine do not fit together")


# --------------------------------------------------------------------------- boosters


def _dump_lightgbm(fitted: Any) -> bytes:
    text: str = fitted.model_to_string()
    return text.encode()


def _load_lightgbm(data: bytes, n_features: int, n_classes: int) -> Any:
    import lightgbm

    text = data.decode("ascii")
    _check_lightgbm(text, n_features, n_classes)
    return lightgbm.Booster(model_str=text)


def _check_lightgbm(text: str, n_features: int, n_classes: int) -> None:
    """Refuse a model that leads out of its arrays or back to where it came from."""
    head, *trees = re.split(r"^Tree=\d+$", text.partition("\nend of trees")[0], flags=re.MULTILINE)
    said = _lines(head)
    per_round = 1 if n_classes == 2 else n_classes
    fine = (
        int(said["max_feature_idx"]) == n_features - 1
        and int(said["num_class"]) == int(said["num_tree_per_iteration"]) == per_round
        and len(trees) % per_round == 0
    )
    for tree in map(_lines, trees):
        leaves = int(tree["num_leaves"])
        fine = fine and tree["num_cat"] == "0" and tree.get("is_linear", "0") == "0"
        fine = fine and leaves >= 1 and len(tree["leaf_value"].split()) == leaves
        if leaves == 1:
            continue
        number = np.arange(leaves - 1)
        names = ("left_child", "right_child", "split_feature", "decision_type")
        left, right, feature, kind = (np.array(tree[name].split(), dtype=np.int64) for name in names)
        fine = fine and left.shape == right.shape == feature.shape == kind.shape == number.shape
        fine = fine and len(tree["threshold"].split()) == leaves - 1
        for child in (left, right):
            fine = fine and bool((np.where(child < 0, ~child < leaves, child > number)).all())
            fine = fine and bool((child < leaves - 1).all())
        fine = fine and bool(((feature >= 0) & (feature < n_features)).all()) and not (kind & 1).any()
    if not fine:
        raise InputError("the model is damaged: a tree of LightGBM leads nowhere, or it takes other features")


def _lines(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, mark, value in pairs if mark}


def _dump_xgboost(fitted: Any) -> bytes:
    return bytes(fitted.save_raw("json"))


def _load_xgboost(data: bytes, n_features: int, n_classes: int) -> Any:
    import xgboost

    _check_xgboost(json.loads(data), n_features, n_classes)
    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    booster.set_param({"nthread": 1, "device": "cpu"})
    return booster


def _check_xgboost(model: Any, n_features: int, n_classes: int) -> None:
    """Refuse a model that leads out of its arrays or back to where it came from."""
    learner = model["learner"]
    said = learner["learner_model_param"]
    fine = int(said["num_feature"]) == n_features
    fine = fine and int(said["num_class"]) == (0 if n_classes == 2 else n_classes)
    fine = fine and learner["gradient_booster"]["name"] == "gbtree"
    for tree in learner["gradient_booster"]["model"]["trees"]:
        nodes = int(tree["tree_param"]["num_nodes"])
        names = ("left_children", "right_children", "split_indices", "parents", "split_type")
        left, right, feature, parent, kind = (np.array(tree[name], dtype=np.int64) for name in names)
        fine = fine and left.shape == right.shape == feature.shape == parent.shape == kind.shape == (nodes,)
        fine = fine and len(tree["split_conditions"]) == nodes and not kind.any()
        inner, number = left != -1, np.arange(nodes)
        fine = fine and np.array_equal(inner, right != -1)
        for child in (left[inner], right[inner]) if fine else ():
            fine = fine and bool(((child > number[inner]) & (child < nodes)).all())
        fine = fine and bool(((feature >= 0) & (feature < n_features)).all())
    if not fine:
        raise InputError("the model is damaged: a tree of XGBoost leads nowhere, or it takes other features")


def _dump_catboost(fitted: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
        path = Path(folder, "model.cbm")
        fitted.save_model(str(path), format="cbm")
        return path.read_bytes()


def _load_catboost(data: bytes, n_features: int, n_classes: int) -> Any:
    from catboost import CatBoostClassifier

    fitted = CatBoostClassifier()
    fitted.load_model(stream=io.BytesIO(data), format="cbm")
    if len(fitted.feature_names_) != n_features or len(fitted.classes_) != n_classes:
        raise InputError(f"the model must take {n_features} features and tell {n_classes} classes apart")
    return fitted


CODECS = (
    Codec("sklearn", "skops", _dump_sklearn, _load_sklearn),
    Codec("lightgbm", "lightgbm", _dump_lightgbm, _load_lightgbm),
    Codec("xgboost", "xgboost", _dump_xgboost, _load_xgboost),
    Codec("catboost", "catboost", _dump_catboost, _load_catboost),
)
"""Types that fitted classifiers may consist of."""
