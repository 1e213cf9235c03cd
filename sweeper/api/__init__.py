"""Everything that a plugin imports: axes, prepared frames, featurizers, networks, classifiers and searches.

A plugin is one file with one constant: ``FEATURIZER`` (a :class:`Featurizer`, :class:`Network` or
:class:`NetworkFamily`), ``CLASSIFIER`` (a :class:`Classifier`) or ``SEARCH`` (a :class:`Search`). This
package depends on nothing else in the project but the errors and the pipeline.
"""

from sweeper.api.axes import (
    CLASS_WEIGHT,
    Axis,
    Either,
    Interval,
    Legal,
    OneOf,
    Params,
    Value,
    WeightPerClass,
)
from sweeper.api.classifiers import Build, Classifier, Estimator, ProbabilityScores, scaled_count
from sweeper.api.featurizers import Featurizer, PreparedFrame
from sweeper.api.networks import (
    PRETRAINED,
    TRAINING_SETS,
    Network,
    NetworkBuild,
    NetworkFamily,
    NetworkModule,
    recipe,
    size,
    training_set,
)
from sweeper.api.searches import (
    FAILED_SCORE,
    Encoding,
    Observation,
    Proposer,
    Search,
    SearchSpace,
    Variable,
    draw_new,
)
from sweeper.errors import InputError
from sweeper.pipeline import FeaturizerChoice, Pipeline

__all__ = [
    "CLASS_WEIGHT",
    "FAILED_SCORE",
    "PRETRAINED",
    "TRAINING_SETS",
    "Axis",
    "Build",
    "Classifier",
    "Either",
    "Encoding",
    "Estimator",
    "Featurizer",
    "FeaturizerChoice",
    "InputError",
    "Interval",
    "Legal",
    "Network",
    "NetworkBuild",
    "NetworkFamily",
    "NetworkModule",
    "Observation",
    "OneOf",
    "Params",
    "Pipeline",
    "PreparedFrame",
    "ProbabilityScores",
    "Proposer",
    "Search",
    "SearchSpace",
    "Value",
    "Variable",
    "WeightPerClass",
    "draw_new",
    "recipe",
    "scaled_count",
    "size",
    "training_set",
]
