"""`sweeper explain`: which frames, which model, what the pictures show, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import torch

from sweeper import plugins
from sweeper.api import Network, NetworkBuild, PreparedFrame
from sweeper.cli import main
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import inspect_frames, read_frame
from sweeper.data.intensity import prepare, resolve
from sweeper.data.splits import make_splits
from sweeper.explain import drawing, explain
from sweeper.explain.frames import GivenFrame, at_most, evenly, find_frames, png_names
from sweeper.explain.models import find_models
from sweeper.networks.inputs import input_array
from sweeper.networks.model import ModelInfo, save_weights
from sweeper.runs.folder import RunFolder
from sweeper.runs.spec import make_spec
from tests.runs.made_records import made_fit, write_journal

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CLASSES = ("coarse", "fine", "medium")
SIZE = 32
INTENSITY = {"scale": "linear", "clip_high": 99.0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lenet(path: Path, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Any:
    """A LeNet of random weights in a model file; returns it."""
    network = plugins.featurizer("lenet")
    assert isinstance(network, Network)
    params = {axis.name: axis.default for axis in network.all_axes} | {"size": SIZE}
    torch.manual_seed(seed)
    module: Any = network.build(NetworkBuild(params, len(classes)))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(
        path,
        module.state_dict(),
        ModelInfo("lenet", network.version, params, len(classes), classes, 50, resolve(INTENSITY)),
    )
    return module.eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "lenet.safetensors"
    lenet(path)
    return path


def table(out: Path) -> list[dict[str, str]]:
    with (out / "explain.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def png(path: Path) -> Any:
    return imagecodecs.png_decode(path.read_bytes())[..., :3]


# --------------------------------------------------------------------------- what comes out


def test_a_data_set(textures: Path, model: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "out", []
    result = explain(model, [textures], out, limit=3, on_frame=lambda done, n: seen.append((done, n)))
    rows = table(out)
    assert list(rows[0]) == ["path", "frame", "true", "predicted", "probability", "png"]
    assert [row["true"] for row in rows] == [name for name in CLASSES for _ in range(3)]
    assert seen == [(i, 9) for i in range(1, 10)]
    assert {p.name for p in out.iterdir()} == {row["png"] for row in rows} | {
        "contact_sheet.png",
        "explain.csv",
    }
    module = lenet(tmp_path / "again.safetensors")
    for row in rows:
        assert Path(row["path"]).parent.name == row["true"]
        counts = read_frame(row["path"], int(row["frame"]))
        x = input_array(prepare(counts, INTENSITY), SIZE).astype(np.float32)
        with torch.no_grad():
            expected = torch.softmax(module(torch.from_numpy(x)[None, None])[1][0], dim=0)
        assert row["predicted"] == CLASSES[int(expected.argmax())]
        assert float(row["probability"]) == pytest.approx(float(expected.max()), abs=1e-5)
        assert png(out / row["png"]).std() > 10
    right = sum(row["true"] == row["predicted"] for row in rows)
    assert result.summary() == f"9 frames explained, {right} of 9 predicted as labelled"


def test_the_display_is_logarithmic_also_for_a_linear_network(
    textures: Path, model: Path, tmp_path: Path
) -> None:
    frame = next((textures / "coarse").glob("*.tif"))
    explain(model, [frame], tmp_path / "out")
    view = prepare(read_frame(frame), {**INTENSITY, "scale": "log1p"})
    expected = drawing.grey(view.image, view.valid)
    scale = drawing.LEAST_PX // 48
    picture = png(tmp_path / "out" / f"{frame.stem}.png")
    shown = picture[84 : 84 + 48 * scale, 16 : 16 + 48 * scale]
    np.testing.assert_allclose(shown[::scale, ::scale].astype(int), expected, atol=1)


def test_frames_without_classes_are_grouped_by_the_predicted_one(
    textures: Path, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for path in textures.rglob("*.tif"):
        shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    explain(model, [folder], tmp_path / "all")
    explain(model, [folder], tmp_path / "some", limit=2)
    everything = [row["predicted"] for row in table(tmp_path / "all")]
    some = [row["predicted"] for row in table(tmp_path / "some")]
    assert len(everything) == 36
    assert {name: min(everything.count(name), 2) for name in everything} == {n: some.count(n) for n in some}
    assert all(row["true"] == "" for row in table(tmp_path / "all"))


def test_a_class_can_be_asked_for(textures: Path, model: Path, tmp_path: Path) -> None:
    frame = next((textures / "fine").glob("*.tif"))
    explain(model, [frame], tmp_path / "predicted")
    predicted = table(tmp_path / "predicted")[0]
    pictures = {}
    for name in CLASSES:
        explain(model, [frame], tmp_path / name, about=name)
        assert table(tmp_path / name)[0] == predicted
        pictures[name] = png(tmp_path / name / f"{frame.stem}.png")[84:, 424:]  # the right half
    assert not np.array_equal(pictures["coarse"], pictures["fine"])


def test_invalid_pixels_are_flat_and_bear_no_heat() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((20, 30), dtype=np.float32)
    valid = rng.random((20, 30)) > 0.2
    heat = rng.random((20, 30), dtype=np.float32)
    heat[:5] = 0
    plain, hot = drawing.grey(image, valid), drawing.overlay(image, valid, heat)
    assert (hot[~valid] == drawing.MASK_COLOUR).all()
    assert (plain[~valid] == drawing.MASK_COLOUR).all()
    np.testing.assert_array_equal(hot[:5], plain[:5])
    coloured = np.ptp(hot.astype(int), axis=2)  # of a grey, 0
    assert (coloured[valid & (heat > 0.5)] > 40).all()
    assert np.ptp(plain[valid].astype(int), axis=1).max() == 0


def test_a_picture_draws_every_masked_pixel_and_no_other(tmp_path: Path) -> None:
    valid = np.ones((64, 48), bool)
    valid[10:13] = False
    image, heat = np.full((64, 48), 0.5, np.float32), np.eye(64, 48, dtype=np.float32)
    picture = drawing.Picture("a $frame_1$.tif", image, valid, heat, "SAXS", "WAXS", 0.7)
    drawing.draw_frame(tmp_path / "masked.png", picture)
    drawing.draw_frame(tmp_path / "whole.png", replace(picture, valid=np.ones_like(valid)))
    scale = drawing.LEAST_PX // 64
    masked = (png(tmp_path / "masked.png") == drawing.MASK_COLOUR).all(axis=2)
    legend = 14 * 14
    assert masked.sum() == pytest.approx(2 * 3 * 48 * scale**2 + legend, rel=0.01)
    assert (png(tmp_path / "whole.png") == drawing.MASK_COLOUR).all(axis=2).sum() == 0


def test_large_frames_make_pictures_of_a_sensible_size(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "large.tif", rng.poisson(5, (3000, 2000)).astype(np.uint16))
    tifffile.imwrite(tmp_path / "strip.tif", rng.poisson(5, (20, 1475)).astype(np.uint16))
    explain(model, [tmp_path / "large.tif", tmp_path / "strip.tif"], tmp_path / "out")
    for name in ("large", "strip"):
        height, width = png(tmp_path / "out" / f"{name}.png").shape[:2]
        assert 150 < height < 1000
        assert 600 < width < 2000


def test_the_sheet_has_a_block_a_class_in_balanced_rows(tmp_path: Path) -> None:
    image = np.full((16, 16), 0.5, np.float32)
    one = drawing.Picture("a.tif", image, np.ones((16, 16), bool), image, None, "x", 1.0)
    shapes = {}
    for n in (1, 4, 5, 9):
        drawing.draw_contact_sheet(tmp_path / f"{n}.png", [(f"class {i}", [one] * 7) for i in range(n)], "")
        shapes[n] = png(tmp_path / f"{n}.png").shape[:2]
    assert shapes[1][0] == shapes[4][0] < shapes[5][0] < shapes[9][0]
    assert shapes[5][1] < shapes[4][1] < 2200


# --------------------------------------------------------------------------- which frames


def test_stacks_folders_and_manifests(textures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    (folder / "below").mkdir(parents=True)
    tifffile.imwrite(folder / "stack.tif", np.ones((3, 8, 8), np.uint16), photometric="minisblack")
    np.save(folder / "below" / "one.npy", np.ones((8, 8), np.uint16))
    (folder / "notes.txt").write_text("not a frame")
    found = find_frames([folder, folder / "stack.tif"])
    assert [(f.called(f.name), f.true) for f in found] == [
        ("stack.tif#0", None),
        ("stack.tif#1", None),
        ("stack.tif#2", None),
        ("below/one.npy", None),
    ]
    assert png_names(found) == ["stack-00000.png", "stack-00001.png", "stack-00002.png", "below__one.png"]
    mask = tmp_path / "mask.npy"
    np.save(mask, np.eye(8, dtype=np.uint8))
    manifest = tmp_path / "frames.csv"
    manifest.write_text("path,label,frame,mask\nframes/stack.tif,a,1,\nframes/below/one.npy,b,0,mask.npy\n")
    of_manifest = find_frames([manifest])
    assert [(f.called(f.name), f.true, f.mask) for f in of_manifest] == [
        ("frames/below/one.npy", "b", str(mask)),
        ("frames/stack.tif#1", "a", None),
    ]
    assert [f.mask for f in find_frames([manifest], mask=mask)] == [str(mask)] * 2
    assert {f.true for f in find_frames([textures])} == set(CLASSES)


def test_names_of_pictures_are_never_shared() -> None:
    def frame(name: str, index: int = 0, stacked: bool = False) -> GivenFrame:
        return GivenFrame(f"/data/{name}", index, name, stacked, None, None)

    given = [
        frame("a/1.tif"),
        frame("a/1.cbf"),
        frame("A/1.tif"),
        frame("a__1.tif"),
        frame("contact_sheet.tif"),
    ]
    given += [frame("s.h5", i, True) for i in (0, 12)] + [frame("long" * 100 + ".tif")]
    names = png_names(given)
    assert names[0] == "a__1.png"
    assert len({name.lower() for name in names} | {"contact_sheet.png"}) == len(given) + 1
    assert names[5:7] == ["s-00000.png", "s-00012.png"]
    assert max(map(len, names)) < 200


def test_a_limit_takes_frames_evenly() -> None:
    assert evenly(list(range(10)), 3) == [0, 4, 9]
    assert evenly([1, 2], 3) == [1, 2]
    given = [GivenFrame(f"/{i}", 0, str(i), False, "ab"[i % 2] if i < 20 else None, None) for i in range(25)]
    kept = at_most(given, 2)
    assert [f.name for f in kept] == ["0", "1", "18", "19", "20", "21", "22", "23", "24"]
    assert at_most(given, None) == given


# --------------------------------------------------------------------------- which model


FOLDS = 3


@pytest.fixture
def run_folder(textures: Path, tiny_space: Path, tmp_path: Path) -> Path:
    """What a sweep with a network in it leaves: three fold models of trial 4, one of trial 7."""
    data = Path(shutil.copytree(textures, tmp_path / "data"))
    folder = RunFolder(tmp_path / "run")
    spec = make_spec(data, tiny_space, folds=FOLDS, seed=5)
    folder.claim(spec)
    dataset = load_dataset(data)
    reports = [inspect_frames(path, [0])[0] for path in dataset.paths]
    columns = {name: [getattr(r, name) for r in reports] for name in ("path", "index", "digest")}
    pq.write_table(pa.table(columns), folder.frames)
    digest = dataset.digest([r.digest for r in reports])
    folder.write_environment({"dataset_digest": digest, "folds": FOLDS})
    for fold in range(FOLDS):
        lenet(folder.path / "networks" / f"key{fold}" / "model-50.safetensors", seed=fold)
    lenet(folder.path / "networks" / "other" / "model-9.safetensors", seed=9)
    fits = [made_fit("lenet", {"size": SIZE}, fold, key=f"key{fold}") for fold in range(FOLDS)]
    write_journal(folder.journal, fits)
    best = [
        {"trial": 2, "featurizer": "resnet50", "score": 0.95, "models": []},
        {
            "trial": 4,
            "featurizer": "lenet",
            "score": 0.9,
            "models": [f"key{fold}/model-50.safetensors" for fold in (2, 0, 1)],
        },
        {"trial": 7, "featurizer": "lenet", "score": 0.8, "models": ["other/model-9.safetensors"]},
    ]
    (folder.path / "networks" / "best.json").write_text(json.dumps({"trials": best}))
    return folder.path


def test_frames_are_explained_by_the_model_that_was_not_trained_on_them(run_folder: Path) -> None:
    models = find_models(run_folder)
    dataset = load_dataset(run_folder.parent / "data")
    splits = make_splits(dataset.labels, dataset.classes, split=dataset.split, folds=FOLDS, seed=5)
    used = set()
    for row, path in enumerate(dataset.paths):
        file = models.of((path, 0))
        fold = int(file.parent.name.removeprefix("key"))
        assert row not in splits[fold].train
        used.add(fold)
    assert used == set(range(FOLDS))
    assert models.of(("/elsewhere.tif", 0)).parent.name == "key2"
    assert find_models(run_folder, trial=7).files == (run_folder / "networks/other/model-9.safetensors",)


@pytest.mark.parametrize("change", ["data gone", "data changed", "no fits in the journal"])
def test_where_it_cannot_be_told_the_first_model_explains(run_folder: Path, change: str) -> None:
    data = run_folder.parent / "data"
    frame = str(data / "fine" / "000.tif")
    assert find_models(run_folder).held_out
    if change == "data gone":
        shutil.rmtree(data)
    elif change == "data changed":
        shutil.move(data / "fine" / "000.tif", data / "coarse" / "zzz.tif")
    else:
        (run_folder / "journal.jsonl").write_text("")
    models = find_models(run_folder)
    assert models.held_out == {}
    assert models.of((frame, 0)).parent.name == "key2"


def test_a_run_folder(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = run_folder.parent / "data"
    status = main(["explain", str(run_folder), str(data), "--out", str(tmp_path / "out"), "--limit", "2"])
    assert status == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("6 frames explained, ")
    assert said[0].endswith("6 by a model that was not trained on them")
    held_out = find_models(run_folder).held_out
    for row in table(tmp_path / "out"):
        fold = int(held_out[row["path"], 0].parent.name.removeprefix("key"))
        module = lenet(tmp_path / "again.safetensors", seed=fold)
        x = input_array(prepare(read_frame(row["path"]), INTENSITY), SIZE).astype(np.float32)
        with torch.no_grad():
            expected = torch.softmax(module(torch.from_numpy(x)[None, None])[1][0], dim=0).max()
        assert float(row["probability"]) == pytest.approx(float(expected), abs=1e-5)


# --------------------------------------------------------------------------- what is refused


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["explain", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_an_unreadable_frame_is_named_before_anything_is_computed(
    textures: Path, model: Path, run_cli: Cli, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(textures, tmp_path / "data"))
    torn = data / "medium" / "011.tif"
    torn.write_bytes(torn.read_bytes()[:3000])
    done = run_cli("explain", model, data, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"{data}: medium/011.tif" in line
    assert "truncated" in line
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_network(textures: Path, tiny_space: Path, run_cli: Cli, tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").claim(make_spec(textures, tiny_space))
    done = run_cli("explain", tmp_path / "run", textures, "--out", tmp_path / "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{tmp_path / 'run'}: no network here" in line


def test_what_else_is_refused(
    textures: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, out = next((textures / "fine").glob("*.tif")), tmp_path / "out"
    (tmp_path / "text.safetensors").write_text("no model")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "mask.npy", np.zeros((5, 5), np.uint8))
    np.save(tmp_path / "nan.npy", np.full((40, 40), np.nan))
    for arguments, said in (
        ((tmp_path / "none.safetensors", frame, "--out", out), "none.safetensors: no such model file"),
        ((tmp_path / "text.safetensors", frame, "--out", out), "text.safetensors: not a model file"),
        ((tmp_path, frame, "--out", out), "no sweep here"),
        ((model, frame, "--out", out, "--trial", 3), "--trial 3: needs a run folder"),
        ((model, frame, "--out", out, "--class", "coars"), "--class 'coars': no class of"),
        ((model, frame, "--out", out, "--class", "coars"), "did you mean 'coarse'?"),
        ((model, frame, "--out", out, "--limit", 0), "--limit: must be a whole number of at least 1"),
        (
            (model, frame, "--out", out, "--mask", tmp_path / "mask.npy"),
            "mask must have the shape of the frame",
        ),
        ((model, frame, "--out", out, "--mask", tmp_path / "no.npy"), "no.npy: no such file"),
        ((model, tmp_path / "no.tif", "--out", out), "no.tif: no such file"),
        ((model, tmp_path / "empty", "--out", out), "found no class folder"),
        ((model, tmp_path / "nan.npy", "--out", out), "nan.npy: no valid pixel"),
        ((model, textures, "--out", textures / "fine"), "must not be inside the folder of frames"),
        ((model, frame, "--out", frame.parent), "must not be the folder of the frames"),
        ((model, frame, "--out", model), "must be a folder"),
        ((model, frame, "--out", "/proc/out"), "--out /proc/out: not writable"),
    ):
        assert said in refused(capsys, *arguments)
    assert not out.exists()


def test_a_network_without_maps_is_refused(
    textures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lenet(tmp_path / "lenet.safetensors")
    from sweeper.featurizers import _lenet

    monkeypatch.setattr(_lenet.LeNet, "has_maps", False)
    said = refused(capsys, tmp_path / "lenet.safetensors", textures, "--out", tmp_path / "out")
    assert "lenet.safetensors: Grad-CAM needs a network whose last feature maps" in said


def test_trials_that_have_no_network(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = run_folder.parent / "data", run_folder.parent / "out"
    said = refused(capsys, run_folder, data, "--out", out, "--trial", 5)
    assert "--trial must be one with a network, 4, 7, got 5" in said
    (run_folder / "networks" / "key0" / "model-50.safetensors").unlink()
    assert "model-50.safetensors: the model of trial 4 is missing" in refused(
        capsys, run_folder, data, "--out", out
    )
    (run_folder / "networks" / "best.json").write_text('{"trials": 3}')
    assert "best.json: must be a list of trials" in refused(capsys, run_folder, data, "--out", out)


def test_input_is_what_training_saw() -> None:
    """The heat map lies over the whole frame: inputs are frames resized, neither cut nor padded."""
    image = np.zeros((40, 80), np.float32)
    image[:, 60:] = 1
    frame = PreparedFrame(image, image, np.ones((40, 80), bool), 256)
    expected = np.zeros((SIZE, SIZE))
    expected[:, 24:] = 1
    np.testing.assert_allclose(input_array(frame, SIZE), expected, atol=1e-3)
