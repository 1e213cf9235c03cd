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

from sweeper.cli import main
from sweeper.runs._curves_drawing import _COLOURS, draw_curves
from sweeper.runs.curves import COLUMNS, curves_table, learning_curves
from sweeper.runs.folder import RunFolder
from sweeper.runs.spec import make_spec

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Records = list[dict[str, Any]]


def pipeline(featurizer: str, params: dict[str, Any], classifier: str = "head") -> dict[str, Any]:
    nothing: dict[str, Any] = {"reducer": "none", "reducer_params": {}, "classifier_params": {}}
    return {
        "intensity": {"bin": 1},
        "featurizer": featurizer,
        "featurizer_params": params,
        "classifier": classifier,
        **nothing,
    }


def fit(params: dict[str, Any], fold: int | str, epochs: int, **more: Any) -> Records:
    key = f"{json.dumps(params)}/{fold}{more}"
    about = {"featurizer": "deepfreak", "featurizer_params": params, "fold": fold}
    records: Records = [
        {"kind": "fit", "key": key, **about, "n_train": 90, "workers": 1, "device": "cpu", **more}
    ]
    for epoch in range(1, epochs + 1):
        figures = {
            "loss": 2.0**-epoch + (fold == 1),
            "accuracy": 1 - 0.5**epoch,
            "learning_rate": 0.1,
            "seconds": 2.0,
        }
        records.append({"kind": "epoch", "key": f"{key}-{epoch}", "fit": key, "epoch": epoch, **figures})
    return records


def evaluation(of: dict[str, Any], fold: int | str, accuracy: float, budget: float = 1.0) -> dict[str, Any]:
    about = {"pipeline": of, "budget": budget, "fold": fold, "metrics": {"accuracy": accuracy}}
    return {"kind": "evaluation", "key": f"{of}{fold}{budget}", "status": "done", **about}


GOOD = {"topology": 2, "learning_rate": 0.05, "momentum": 0.9}
BAD = {"topology": 7, "learning_rate": 0.05, "momentum": 0.9}


@pytest.fixture
def records() -> Records:
    """Two topologies on two folds and the test split; the worse one is stopped early."""
    head, forest, worse = (
        pipeline("deepfreak", GOOD),
        pipeline("deepfreak", GOOD, "rf"),
        pipeline("deepfreak", BAD),
    )
    found: Records = [
        {"kind": "trial", "trial": 0, "pipeline": worse},
        {"kind": "trial", "trial": 1, "pipeline": head},
        {"kind": "trial", "trial": 2, "pipeline": pipeline("glcm", {})},
    ]
    for fold in (0, 1):
        found += fit(BAD, fold, 3) + fit(GOOD, fold, 9)
        found += [evaluation(worse, fold, 0.5, 1 / 3), evaluation(head, fold, 0.95 - 0.2 * fold, 1 / 3)]
        found += [evaluation(head, fold, 0.7), evaluation(forest, fold, 0.8 + 0.1 * fold)]
    found += [*fit(GOOD, "test", 9), evaluation(head, "test", 0.99)]
    found += [
        {"kind": "evaluation", "key": "f", "pipeline": worse, "budget": 1.0, "fold": 0, "status": "failed"}
    ]
    return found


def test_one_row_an_epoch_with_the_columns_of_its_fit(records: Records) -> None:
    curves = learning_curves(records)
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
    curves = learning_curves(records)
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
    again = [{**r, "loss": 99.0} for r in records if r["kind"] == "epoch"]
    pd.testing.assert_frame_equal(learning_curves(records + again), learning_curves(records))


def test_folds_are_in_the_order_of_numbers() -> None:
    records = [r for fold in (10, "test", 2, 0, "half") for r in fit(GOOD, fold, 1)]
    assert learning_curves(records).fold.tolist() == ["0", "2", "10", "half", "test"]


def test_one_trial(records: Records) -> None:
    curves = learning_curves(records, trial=0)
    assert set(curves.representation) == {"deepfreak topology=7"}
    assert set(learning_curves(records, trial=1).representation) == {"deepfreak topology=2"}
    with pytest.raises(ValueError, match="--trial 2: no network was trained for it, its featurizer is glcm"):
        learning_curves(records, trial=2)
    with pytest.raises(ValueError, match="--trial must be a trial of this sweep, got 3"):
        learning_curves(records, trial=3)


def test_intensities_tell_representations_apart_where_fits_name_them() -> None:
    records = fit(GOOD, 0, 2, intensity={"bin": 1}) + fit(GOOD, 0, 2, intensity={"bin": 2})
    records += [evaluation(pipeline("deepfreak", GOOD), 0, 0.9)]
    curves = learning_curves(records)
    assert list(dict.fromkeys(curves.representation)) == ["deepfreak bin=1", "deepfreak bin=2"]
    assert curves.score.iloc[0] == 0.9
    assert curves.score.iloc[-1:].isna().all()


def test_the_table_has_the_last_epoch_of_each_fit(records: Records) -> None:
    for record in records:
        if record["kind"] == "epoch" and record["fit"].endswith("/0{}"):
            record |= {"held_out_loss": 0.25, "held_out_accuracy": 0.875}
    head, *lines = curves_table(learning_curves(records)).splitlines()
    assert " ".join(head.split()) == "fold epoch loss accuracy held-out loss accuracy rate s network"
    assert len(lines) == 5
    assert " ".join(lines[0].split()) == "0 9 0.001953 0.998 0.25 0.875 0.1 18.0 deepfreak topology=2"
    assert " ".join(lines[1].split()) == "1 9 1.002 0.998 0.1 18.0 deepfreak topology=2"
    assert " ".join(lines[-1].split()) == "1 3 1.125 0.875 0.1 6.0 deepfreak topology=7"


def colours(path: Path) -> set[str]:
    pixels = imagecodecs.png_decode(path.read_bytes())[..., :3].reshape(-1, 3)
    return {matplotlib.colors.to_hex(c / 255) for c in np.unique(pixels, axis=0)}


def test_the_picture_draws_each_representation_in_its_colour(records: Records, tmp_path: Path) -> None:
    draw_curves(learning_curves(records), tmp_path / "two.png")
    assert colours(tmp_path / "two.png") & set(_COLOURS[:4]) == set(_COLOURS[:2])
    many = [r for topology in range(1, 12) for r in fit({"topology": topology}, 0, 1)]
    draw_curves(learning_curves(many), tmp_path / "many.png")
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
    draw_curves(learning_curves(records, trial=1), tmp_path / "one.png")
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
    folder.journal.write_text("".join(json.dumps(record) + "\n" for record in records))
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
        (["{run}", "--trial", "9"], "--trial must be a trial of this sweep, got 9"),
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
