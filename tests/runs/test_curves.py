"""Learning curves out of a journal: the table, the numbers, the picture, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import matplotlib
import numpy as np
import pandas as pd
import pytest
from msgspec import structs

from sweeper.cli import main
from sweeper.pipeline import Pipeline
from sweeper.runs._curves_drawing import _COLOURS, draw_curves
from sweeper.runs.curves import COLUMNS, curves_table, learning_curves
from sweeper.runs.folder import RunFolder
from sweeper.runs.records import TEST, Epoch, FoldName, Trial
from sweeper.runs.spec import make_spec
from tests.runs.made_records import (
    Records,
    made_epoch,
    made_evaluation,
    made_failure,
    made_fit,
    made_pipeline,
    made_trial,
    results_of,
    write_journal,
)

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
GOOD = {"topology": 2, "learning_rate": 0.05, "momentum": 0.9}
BAD = {"topology": 7, "learning_rate": 0.05, "momentum": 0.9}


def pipeline(params: dict[str, Any], classifier: str = "head") -> Pipeline:
    return made_pipeline("deepfreak", classifier, featurizer_params=params, reducer="none")


def trained(params: dict[str, Any], fold: FoldName, epochs: int, **held_out: float) -> Records:
    """A network that was trained; in fold 1 the loss is larger by one."""
    fit = made_fit("deepfreak", params, fold)
    return [
        fit,
        *(made_epoch(fit, e, loss=2.0**-e + (fold == 1), **held_out) for e in range(1, epochs + 1)),
    ]


def made_records(**held_out: float) -> Records:
    """Two topologies on two folds and the test split; the worse one is stopped early.

    `held_out` is of the epochs of the better one on fold 0.
    """
    head, forest, worse = pipeline(GOOD), pipeline(GOOD, "rf"), pipeline(BAD)
    found: Records = [
        Trial.of(number, of) for number, of in enumerate([worse, head, made_pipeline("glcm"), forest])
    ]
    for fold in (0, 1):
        found += trained(BAD, fold, 3)
        found += trained(GOOD, fold, 9, **(held_out if fold == 0 else {}))
        found += [made_evaluation(worse, fold, 0.5, budget=1 / 3)]
        found += [made_evaluation(head, fold, 0.95 - 0.2 * fold, budget=1 / 3)]
        found += [made_evaluation(head, fold, 0.7), made_evaluation(forest, fold, 0.8 + 0.1 * fold)]
    found += [*trained(GOOD, TEST, 9), made_evaluation(head, TEST, 0.99)]
    found += [made_evaluation(worse, 0, made_failure())]
    return found


@pytest.fixture
def records() -> Records:
    return made_records()


def curves_of(records: Records, trial: int | None = None) -> pd.DataFrame:
    return learning_curves(results_of(records), trial)


def test_one_row_an_epoch_with_the_columns_of_its_fit(records: Records) -> None:
    curves = curves_of(records)
    assert tuple(curves.columns) == COLUMNS
    assert len(curves) == 3 * 9 + 2 * 3
    last = curves[
        (curves.fold == "1") & (curves.epoch == 3) & (curves.representation == "deepfreak topology=7")
    ]
    assert last.loss.tolist() == [0.125 + 1]
    assert last.n_train.tolist() == [90]
    assert json.loads(last.featurizer_params.iloc[0]) == BAD
    assert curves.held_out_loss.isna().all()


def test_the_best_stands_first_by_its_best_pipeline_at_its_largest_budget(records: Records) -> None:
    curves = curves_of(records)
    assert list(dict.fromkeys(curves.representation)) == ["deepfreak topology=2", "deepfreak topology=7"]
    scores = curves.groupby("representation").score.first()
    assert scores["deepfreak topology=2"] == pytest.approx(
        0.85
    )  # the forest; the test split counts for nothing
    assert scores["deepfreak topology=7"] == pytest.approx(
        0.5
    )  # at a third of the budget, which is all it got
    assert list(dict.fromkeys(zip(curves.representation, curves.fold, strict=True)))[:3] == [
        ("deepfreak topology=2", fold) for fold in ("0", "1", "test")
    ]


def test_an_epoch_that_was_trained_again_counts_once(records: Records) -> None:
    again = [structs.replace(r, loss=99.0) for r in records if isinstance(r, Epoch)]
    pd.testing.assert_frame_equal(curves_of(records + again), curves_of(records))


def test_folds_are_in_the_order_of_numbers() -> None:
    records = [r for fold in (10, TEST, 2, 0, "0 seed 7") for r in trained(GOOD, fold, 1)]
    assert curves_of(records).fold.tolist() == ["0", "2", "10", "0 seed 7", "test"]


def test_one_trial(records: Records) -> None:
    curves = curves_of(records, trial=0)
    assert set(curves.representation) == {"deepfreak topology=7"}
    assert set(curves_of(records, trial=1).representation) == {"deepfreak topology=2"}
    with pytest.raises(ValueError, match="--trial 2: no network was trained for it, its featurizer is glcm"):
        curves_of(records, trial=2)
    with pytest.raises(ValueError, match="trial must be the number of a trial of this sweep, got 4"):
        curves_of(records, trial=4)


def test_intensities_tell_representations_apart() -> None:
    fits = [made_fit("deepfreak", GOOD, intensity={"bin": size}) for size in (1, 2)]
    records = [*fits, *(made_epoch(fit, epoch) for fit in fits for epoch in (1, 2))]
    records += made_trial(0, pipeline(GOOD), 0.9)
    curves = curves_of(records)
    assert list(dict.fromkeys(curves.representation)) == ["deepfreak bin=1", "deepfreak bin=2"]
    assert curves.score.iloc[0] == 0.9
    assert curves.score.iloc[-1:].isna().all()


def test_the_table_has_the_last_epoch_of_each_fit() -> None:
    records = made_records(held_out_loss=0.25, held_out_accuracy=0.875)
    head, *lines = curves_table(curves_of(records)).splitlines()
    assert " ".join(head.split()) == "fold epoch loss accuracy held-out loss accuracy rate s network"
    assert len(lines) == 5
    assert " ".join(lines[0].split()) == "0 9 0.001953 0.998 0.25 0.875 0.1 18.0 deepfreak topology=2"
    assert " ".join(lines[1].split()) == "1 9 1.002 0.998 0.1 18.0 deepfreak topology=2"
    assert " ".join(lines[-1].split()) == "1 3 1.125 0.875 0.1 6.0 deepfreak topology=7"


def colours(path: Path) -> set[str]:
    pixels = imagecodecs.png_decode(path.read_bytes())[..., :3].reshape(-1, 3)
    return {matplotlib.colors.to_hex(c / 255) for c in np.unique(pixels, axis=0)}


def test_the_picture_draws_each_representation_in_its_colour(records: Records, tmp_path: Path) -> None:
    draw_curves(curves_of(records), tmp_path / "two.png")
    assert colours(tmp_path / "two.png") & set(_COLOURS[:4]) == set(_COLOURS[:2])
    many = [r for topology in range(1, 12) for r in trained({"topology": topology}, 0, 1)]
    draw_curves(curves_of(many), tmp_path / "many.png")
    assert colours(tmp_path / "many.png") >= set(_COLOURS)
    assert list(tmp_path.glob(".*")) == []


def test_lines_are_means_over_folds_and_bands_reach_to_the_extremes(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.axes import Axes

    lines: list[Any] = []
    bands: list[Any] = []
    plot, fill = Axes.plot, Axes.fill_between
    monkeypatch.setattr(Axes, "plot", lambda self, *a, **k: lines.append(a) or plot(self, *a, **k))
    monkeypatch.setattr(Axes, "fill_between", lambda self, *a, **k: bands.append(a) or fill(self, *a, **k))
    draw_curves(curves_of(records, trial=1), tmp_path / "one.png")
    epochs = np.arange(1, 10)
    np.testing.assert_array_equal(lines[0][0], epochs)
    np.testing.assert_allclose(lines[0][1], 2.0**-epochs + 0.5)  # folds 0 and 1, the test split left out
    assert len(bands) == 1  # accuracies of both folds are the same
    np.testing.assert_allclose(bands[0][1], 2.0**-epochs)
    np.testing.assert_allclose(bands[0][2], 2.0**-epochs + 1)


# --------------------------------------------------------------------------- the command


@pytest.fixture
def run_folder(records: Records, textures: Path, tiny_space: Path, tmp_path: Path) -> Path:
    folder = RunFolder(tmp_path / "run")
    folder.claim(make_spec(textures, tiny_space))
    write_journal(folder.journal, records)
    return folder.path


def test_the_command(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    png, csv = tmp_path / "curves.png", tmp_path / "curves.csv"
    assert main(["curves", str(run_folder), "--png", str(png), "--csv", str(csv)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"33 epochs of 5 fits in {png}",
        f"33 epochs of 5 fits in {csv}",
    ]
    assert png.read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(csv)) == 33
    assert main(["curves", str(run_folder), "--trial", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_sweep_without_networks(run_folder: Path, run_cli: Cli) -> None:
    (run_folder / "journal.jsonl").write_text("")
    done = run_cli("curves", run_folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"sweeper: {run_folder}: no network here: none was trained for an epoch in this sweep\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}/none"], "no sweep here"),
        (["{run}", "--trial", "9"], "trial must be the number of a trial of this sweep, got 9"),
        (["{run}", "--png", "{run}/none/x.png"], "--png {run}/none/x.png: No such file or directory"),
        (["{run}", "--csv", "{run}/none/x.csv"], "--csv {run}/none/x.csv: "),
        (["{run}", "--png", "{run}"], "--png {run}: Is a directory"),
    ],
)
def test_what_is_refused(
    arguments: list[str], said: str, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curves", *(a.format(run=run_folder) for a in arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said.format(run=run_folder) in lines[0]
