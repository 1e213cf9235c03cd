"""All checks of one plugin, by its file or by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.api import Network, NetworkFamily
from sweeper.errors import CheckFailedError, InputError
from sweeper.testing.checks import Check, Outcome, expect, outcome_of
from sweeper.testing.classifiers import classifier_checks
from sweeper.testing.featurizers import featurizer_checks
from sweeper.testing.files import file_checks
from sweeper.testing.networks import network_checks
from sweeper.testing.searches import search_checks
from sweeper.testing.spaces import space_checks


def check_its_example_is_a_member(family: NetworkFamily) -> None:
    """Check that the example that a family names is one of its networks, by the right name."""
    expect(family.source.strip() != "", f"{family.name} needs a source")
    name = f"{family.name}:{family.example}"
    expect(plugins.network(name).name == name, f"the network {name} must have this name")


def check_a_wrong_member_is_refused(family: NetworkFamily) -> None:
    """Check that a name that no member has is refused in one line."""
    try:
        family.member("no_such_member_of_this_family")
    except ValueError as refused:
        expect("\n" not in str(refused), f"a wrong name must be refused in one line, got {str(refused)!r}")
        return
    raise CheckFailedError("a name that no member has must raise ValueError")


def checks_of(kind: plugins.Kind, name: str) -> list[tuple[Check, Any]]:
    """Return every check of a plugin with what it is run on.

    Raises
    ------
    InputError
        The plugin cannot be imported, or a library that it needs is not installed.
    """
    if kind == "space":
        path = plugins.space_path(name)
        return [(check, path) for check in space_checks()]
    plugins.check_installed(kind, [name])
    if kind == "classifier":
        classifier = plugins.classifier(name)
        return [(check, classifier) for check in classifier_checks(classifier)]
    if kind == "search":
        search = plugins.search(name)
        return [(check, search) for check in search_checks()]
    family = plugins.family(name.partition(":")[0])
    if family is not None:
        network = plugins.network(f"{family.name}:{family.example}")
        of_family = (check_its_example_is_a_member, check_a_wrong_member_is_refused)
        return [
            *((check, family) for check in of_family),
            *((check, network) for check in network_checks()),
        ]
    featurizer = plugins.featurizer(name)
    if isinstance(featurizer, Network):
        return [(check, featurizer) for check in network_checks()]
    return [(check, featurizer) for check in featurizer_checks()]


def outcomes(path: Path) -> Iterator[tuple[str, Outcome]]:
    """Run every check of a plugin's file; yield what the file holds (``featurizer glcm``) with each outcome.

    Raises
    ------
    InputError
        There is no such file, it holds no plugin, or a library that it needs is not installed.
    """
    found = _in_file(path)
    for kind, name in found:
        label = f"{kind} {name}"
        if kind != "space":
            for check in file_checks():
                yield label, outcome_of(check, path)
        for check, subject in checks_of(kind, name):
            yield label, outcome_of(check, subject)


def _in_file(path: Path) -> list[tuple[plugins.Kind, str]]:
    """Return the plugins that a file holds; its folder is added to those that plugins come from."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if not (found := plugins.in_file(path)):
        plugins.add_folder(plugins.root_of(path))
        found = plugins.in_file(path)
    if not found:
        raise InputError(f"{path}: no plugin: it must be Python with one of the constants, or YAML (.yaml)")
    return found
