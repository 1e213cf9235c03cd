"""A pipeline of a run becomes one file, which says the same as before; hostile files are refused."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweeper
from sweeper import plugins
from sweeper.cli import main
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import read_frame
from sweeper.data.prepared import RawFrame, raw_frame
from sweeper.data.splits import rows_of_test
from sweeper.errors import FrameError, InputError
from sweeper.features.representation import NetworkFeatures
from sweeper.runs.data import run_data
from sweeper.runs.ensemble import results_with_ensemble
from sweeper.runs.folder import RunFolder
from sweeper.runs.predictions import kept_predictions
from sweeper.sorter.archive import digest_of, from_array, read_archive, write_archive
from sweeper.sorter.card import card_text
from sweeper.sorter.export import export_model
from sweeper.sorter.model import Model
from sweeper.sorter.modelfile import load_model, save_model
from sweeper.sorter.promises import Promise
from sweeper.sorter.refit import refit
from sweeper.sorter.runtimes import on_runtime
from sweeper.sorter.table import read_rows
from tests.conftest import REPOSITORY
from tests.runs.made_records import made_pipeline
from tests.sorter.conftest import INTENSITY, PIPELINES, Made, write_run


@pytest.fixture(scope="module")
def exported(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "best.sweeper"
    export_model(made.run, path, promise=Promise(0.1))
    return path


@pytest.mark.parametrize("trial", range(len(PIPELINES)))
def test_the_refit_is_what_was_scored_on_the_test_split(trial: int, made: Made, tmp_path: Path) -> None:
    model = export_model(made.run, tmp_path / "m", trial=trial)
    results = RunFolder(made.run).results()
    record = results.test(trial)
    assert record is not None
    [kept] = kept_predictions(RunFolder(made.run).predictions, [record]) or []
    data = load_dataset(made.manifest)
    looks = [model.look(raw_frame(data.ref(row))) for row in rows_of_test(data.split).tolist()]
    assert np.array_equal(model.scores(looks).astype(np.float32), kept.scores)
    assert [model.parts[0].pipeline] == [results.pipeline(trial)]


def test_scores_before_and_after_are_equal_to_the_bit(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[Model] = []

    def keep(model: Model, path: Path) -> Model:
        before.append(model)
        return save(model, path)

    from sweeper.sorter import export

    save = export.save_model
    monkeypatch.setattr(export, "save_model", keep)
    for choice in ({"trial": 0}, {"trial": 1}, {"trial": 2}, {"ensemble": True}):
        after = export_model(made.run, tmp_path / "m", **choice)
        assert before[-1].predict_proba(made.new).tobytes() == after.predict_proba(made.new).tobytes()
        assert before[-1].promising(Promise(0.1)).accept(made.new) == after.promising(Promise(0.1)).accept(
            made.new
        )


def test_the_ensemble_is_its_members_blended(made: Made, tmp_path: Path) -> None:
    model = export_model(made.run, tmp_path / "m", ensemble=True)
    results = results_with_ensemble(RunFolder(made.run), "accuracy", 3)
    members = results.pipeline(-1).classifier_params["members"]
    assert [round(part.weight, 4) for part in model.parts] == [m["weight"] for m in members]
    assert [p.pipeline for p in model.parts] == [results.pipeline(int(m["trial"])) for m in members]
    assert model.card["trials"] == [m["trial"] for m in members]


def test_ranks_are_those_of_the_leaderboard(made: Made, tmp_path: Path) -> None:
    board = sweeper.open_run(made.run).leaderboard()
    for rank, trial in zip(board["rank"], board.trial, strict=True):
        model = export_model(made.run, tmp_path / "m", rank=int(rank))
        assert model.card["rank"] == rank
        assert trial < 0 or model.card["trials"] == [trial]


def test_arrays_paths_folders_and_datasets_say_the_same(made: Made, exported: Path) -> None:
    model = sweeper.load_model(exported)
    paths = sorted(made.new.rglob("*.tif"))
    expected = model.predict_proba(paths)
    arrays = [read_frame(path) for path in paths]
    for frames in (made.new, str(made.new), arrays, np.stack(arrays), load_dataset(made.new)):
        assert np.array_equal(model.predict_proba(frames), expected)
    assert np.array_equal(model.predict_proba(arrays[0]), expected[:1])
    assert expected.shape == (30, 3)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    truth = [path.parent.name for path in paths]
    assert np.mean(model.predict(paths) == truth) > 0.85
    verdicts = model.accept(arrays)
    assert [v.label for v in verdicts] == model.predict(paths).tolist()
    assert all(v.accepted == (v.reason == "") for v in verdicts)


@pytest.mark.parametrize("frames", [3, "no-such-folder", np.zeros((2, 2, 2, 2)), [1, 2]])
def test_what_is_no_frames_is_refused(frames: Any, exported: Path) -> None:
    with pytest.raises(InputError, match=r"frames must be|no such file"):
        sweeper.load_model(exported).predict(frames)


def test_a_frame_that_cannot_be_read_is_a_verdict(made: Made, exported: Path, tmp_path: Path) -> None:
    model = sweeper.load_model(exported)
    good = read_frame(next(made.new.rglob("*.tif")))
    verdicts = model.accept([good, np.full((48, 48), np.nan), good])
    assert [v.reason.partition(":")[0] for v in verdicts][1] == "unreadable"
    assert [v.frame for v in verdicts] == [0, 1, 2]
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    [broken] = model.accept(tmp_path)
    assert (broken.path, broken.label) == (str(tmp_path / "a.tif"), "")
    assert broken.reason.startswith("unreadable: ")
    with pytest.raises(FrameError):
        model.predict([tmp_path / "a.tif"])
    assert verdicts[0].label == verdicts[2].label != ""
    with pytest.raises(InputError, match="no valid pixel"):
        model.predict([np.full((48, 48), np.nan)])


def test_a_model_loads_without_ray_or_torch(made: Made, exported: Path) -> None:
    code = (
        f"import sys, sweeper\nm = sweeper.load_model({str(exported)!r})\nm.accept({str(made.new)!r})\n"
        "heavy = {'ray', 'torch', 'matplotlib', 'ConfigSpace', 'hpbandster'}\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"rank": 99}, "--rank must be from 1 to"),
        ({"trial": 99}, "--trial must be the number of a trial"),
        ({"rank": 1, "trial": 1}, "give one of them"),
        ({"promise": Promise(1.5)}, "error rate must be above 0 and below 1"),
        ({"promise": Promise(never_miss=("fien",))}, "did you mean 'fine'?"),
        ({"promise": Promise(by_class=True)}, "by class needs an error rate"),
    ],
)
def test_wrong_choices(choice: dict[str, Any], said: str, made: Made, tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        export_model(made.run, tmp_path / "m", **choice)
    assert said in str(told.value)
    assert not (tmp_path / "m").exists()


def test_costs_of_the_sweep_decide_unless_others_are_given(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    spec = run / "sweep.yaml"
    text = spec.read_text()
    assert "class_costs: null\n" in text
    spec.write_text(text.replace("class_costs: null\n", "class_costs: {fine: 1000.0}\n"))
    path = tmp_path / "m"
    plain, costly = export_model(made.run, path, trial=1), export_model(run, path, trial=1)
    assert costly.promise.class_costs == load_model(path).promise.class_costs == (("fine", 1000.0),)
    assert np.array_equal(plain.predict_proba(made.new), costly.predict_proba(made.new))
    counts = [list(model.predict(made.new)).count("fine") for model in (plain, costly)]
    assert counts[0] < counts[1]
    assert [v.label for v in costly.accept(made.new)] == costly.predict(made.new).tolist()
    assert "costs: a missed frame of fine costs 1000, any other 1: " in card_text(costly)
    assert "costs: " not in card_text(plain)
    assert sum(row[1] for row in plain.card["confusion"]) < sum(row[1] for row in costly.card["confusion"])
    arguments = ["sort", str(path), str(made.new), "--csv", str(tmp_path / "t.csv"), "--class-costs"]
    assert main([*arguments, "fine=1"]) == 0
    rows = list(read_rows(tmp_path / "t.csv"))
    assert [row["class"] for row in rows].count("fine") == counts[0]
    capsys.readouterr()
    assert main([*arguments, "fien=2"]) == 2
    assert "class costs: unknown class 'fien'; did you mean 'fine'?" in capsys.readouterr().err
    assert main([*arguments, "fine"]) == 2
    assert "--class-costs must be classes with numbers above zero" in capsys.readouterr().err


def test_predictions_that_were_not_kept_are_said(made: Made, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    shutil.rmtree(run / "predictions")
    with pytest.raises(InputError, match=r"trial 1: cannot be calibrated, its predictions were not kept"):
        export_model(run, tmp_path / "m", trial=1)


def test_what_is_fitted_on_frames_goes_along(
    made: Made, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bag of visual words and a trained network, each with its classifier, beside descriptors."""
    folder = RunFolder(made.run)
    lenet = {"training_set": "unbalanced", "size": 32, "epochs": 1, "batch_size": 16}
    defaults = {axis.name: axis.default for axis in plugins.network("lenet").all_axes}
    pipelines = [
        PIPELINES[0],
        made_pipeline("sift", "rf", intensity=INTENSITY, featurizer_params={"clusters": 8}),
        made_pipeline(
            "lenet", "head", intensity=INTENSITY, featurizer_params=defaults | lenet, reducer="none"
        ),
        made_pipeline("lenet", "svm", intensity=INTENSITY, featurizer_params=defaults | lenet),
        made_pipeline(
            "glcm+sift+lenet", "rf", intensity=INTENSITY,
            featurizer_params={
                "glcm": PIPELINES[0].featurizer_params, "sift": {"clusters": 8}, "lenet": defaults | lenet
            },
        ),
    ]  # fmt: skip
    sharpness = [float("nan")] * 3 + [1.0, float("nan")]
    notes: list[str] = []
    prepared: list[int] = []
    plain = RawFrame.prepared
    monkeypatch.setattr(
        RawFrame, "prepared", lambda self, how: prepared.append(self.ref.index) or plain(self, how)
    )
    fit = refit(pipelines, [0.2] * 5, sharpness, run_data(folder), folder.load_spec(), notes.append)
    assert len(prepared) == 60  # each frame once, and one network trained for three parts
    assert notes[:2] == ["computing glcm and sift and lenet of 60 frames", "training lenet on 60 frames"]
    assert sum(note.startswith("training") for note in notes) == 1
    before = replace(load_model(exported), parts=tuple(fit.parts))
    after = save_model(before, tmp_path / "m")
    assert [len(part.kinds[0].columns) for part in after.parts][1:3] == [8, 3]
    expected = before.predict_proba(made.new)
    assert after.predict_proba(made.new).tobytes() == expected.tobytes()
    assert expected.shape == (30, 3)
    members = read_archive(tmp_path / "m", "m")
    assert {"part1/centres.npy", "part4_1/centres.npy"} <= members.keys()
    [network] = [name for name in members if name.endswith(".safetensors")]  # three parts share it
    assert network == f"networks/{digest_of(members[network])}.safetensors"
    modules = {
        id(kind.module) for part in after.parts for kind in part.kinds if isinstance(kind, NetworkFeatures)
    }
    assert len(modules) == 1
    check_networks_on_a_runtime(before, made, tmp_path)
    for name, said in (("part1/centres.npy", "codebook"), (network, "not a model file")):
        broken = changed(
            tmp_path / "m", tmp_path / "broken", lambda members, n=name: members.update({n: bad(n)})
        )
        with pytest.raises(InputError, match=said):
            load_model(broken)


def check_networks_on_a_runtime(before: Model, made: Made, folder: Path) -> None:
    """Check that a model which ONNX Runtime reads says what PyTorch says, before it is written and after."""
    notes: list[str] = []
    frames = [raw for _, raw in before.raw_frames(made.new) if isinstance(raw, RawFrame)][:5]
    fast, about = on_runtime(before, frames, notes.append)
    assert notes == []
    [network] = about.values()  # three parts share it
    assert network["network"] == "lenet"
    assert network["library"].startswith("ONNX Runtime 1")
    assert 0 < network["difference"] < 1e-5
    assert len({id(kind.reader) for kind in fast.networks}) == 1
    assert None not in {kind.reader for kind in fast.networks}
    np.testing.assert_allclose(fast.predict_proba(made.new), before.predict_proba(made.new), atol=1e-5)
    after = save_model(fast, folder / "fast")
    assert after.predict_proba(made.new).tobytes() == fast.predict_proba(made.new).tobytes()
    assert len({id(kind.reader) for kind in after.networks}) == 1
    text = card_text(replace(after, card=dict(before.card) | {"networks": about}))
    assert f"network lenet: read by {network['library']}, within" in text


def bad(name: str) -> bytes:
    return from_array(np.zeros((3, 3), np.float32)) if name.endswith(".npy") else b"\xff" * 100


# --------------------------------------------------------------------------- hostile files


def changed(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a model whose members were changed, their digests put right."""
    members = read_archive(source, "m")
    change(members)
    manifest = json.loads(members["model.json"])
    manifest["digests"] = {n: digest_of(d) for n, d in members.items() if n != "model.json"}
    members["model.json"] = json.dumps(manifest).encode()
    write_archive(target, members)
    return target


def manifest_with(**values: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members["model.json"] = json.dumps(json.loads(members["model.json"]) | values).encode()

    return change


def array(name: str, values: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[name] = from_array(np.asarray(values))

    return change


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        del members[name]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (manifest_with(format=[3, 0], sweeper="9.9"), "newer form (3, this Sweeper reads 2) by Sweeper 9.9"),
        (manifest_with(format=[0, 9]), "an older form"),
        (manifest_with(classes=["a"]), "two classes"),
        (manifest_with(classes=["a", "b"]), "2 classes"),
        (manifest_with(parts=[]), "a pipeline"),
        (manifest_with(calibration="magic"), "calibration must be one of"),
        (manifest_with(error_rate=7.0), "error rate"),
        (manifest_with(card=3), "model.json"),
        (array("part0/shift.npy", np.zeros(3)), "reducer"),
        (array("counts/shift.npy", np.zeros(3)), "neighbours"),
        (array("features/points.npy", np.zeros((0, 3))), "neighbours"),
        (array("calibration/labels.npy", np.full(60, 77)), "calibration frames"),
        (array("calibration/probabilities.npy", np.zeros((9, 3))), "shape"),
        (array("sizes.npy", np.zeros(5)), "shape"),
        (without("masked.npy"), "masked is missing"),
    ],
)
def test_damaged_models_are_refused(
    change: Callable[[dict[str, bytes]], None], said: str, exported: Path, tmp_path: Path
) -> None:
    path = changed(exported, tmp_path / "m", change)
    with pytest.raises(InputError) as told:
        load_model(path)
    assert str(told.value).startswith(f"{path}: ")
    assert said in str(told.value)


def test_a_newer_minor_version_loads(made: Made, exported: Path, tmp_path: Path) -> None:
    path = changed(exported, tmp_path / "m", manifest_with(format=[2, 7], more={"unknown": [1]}))
    model, expected = load_model(path), load_model(exported)
    assert np.array_equal(model.predict_proba(made.new), expected.predict_proba(made.new))


def test_other_code_of_a_plugin_is_said(exported: Path, tmp_path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["model.json"])
        manifest["parts"][0]["code"][0] = 99
        members["model.json"] = json.dumps(manifest).encode()

    with pytest.raises(InputError, match=r"made with version 99 of glcm, here is \d+"):
        load_model(changed(exported, tmp_path / "m", change))


def test_an_outline_needs_no_libraries(exported: Path) -> None:
    code = (
        "import sys\nfrom sweeper.sorter.modelfile import load_outline\n"
        f"m = load_outline({str(exported)!r})\nprint(m.id, m.name, *m.thresholds.accept)\n"
        "heavy = {'sklearn', 'skops', 'lightgbm', 'numba', 'torch', 'pandas', 'pyarrow'}\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=True
    )
    model = load_model(exported)
    said = " ".join(map(str, (model.id, model.name, *model.thresholds.accept)))
    assert done.stdout.splitlines() == [said, "[]"]


def test_what_other_processes_cannot_load_is_said(
    made: Made, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(members: dict[str, bytes]) -> None:
        [name] = [name for name in members if name.startswith("part0/classifier.")]
        members[name] = b"\xff" * 100

    path = changed(exported, tmp_path / "m", change)
    assert main(["sort", str(path), str(made.new), "--csv", str(tmp_path / "t.csv"), "--processes", "2"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sweeper: {path}: ")
    assert error.count("\n") == 1


def test_every_bit_counts(exported: Path, tmp_path: Path) -> None:
    data = exported.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        (tmp_path / "m").write_bytes(broken)
        try:
            load_model(tmp_path / "m")
        except InputError:
            refused += 1
    assert refused >= 55  # some bits are dates and the like, which nothing reads


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not a model", b"\x80\x04cos\nsystem\n"])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(InputError, match="must be a model file"):
        load_model(tmp_path / "m")
    with pytest.raises(InputError, match="no such model file"):
        load_model(tmp_path / "none")


def zipped(path: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m", [("model.json", b"0" * 50_000_000)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match=r"model\.json is compressed"):
        load_model(path)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    """Two entries of the directory that point at one member: a bomb without compression."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"0" * 4000)
        for name in ("b", "c", "d"):
            entry = zipfile.ZipInfo(name)
            first = archive.infolist()[0]
            entry.CRC, entry.file_size, entry.compress_size = first.CRC, 4000, 4000
            entry.header_offset = first.header_offset
            archive.filelist.append(entry)
            archive.NameToInfo[name] = entry
    (tmp_path / "m").write_bytes(file.getvalue())
    with pytest.raises(InputError, match="larger than the file"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "a\\b", "A", "a/b/c", "."])
def test_names_that_lead_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a member is called"):
        load_model(zipped(tmp_path / "m", [("model.json", b"{}"), (name, b"")]))


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zipped(tmp_path / "m", [("a", b"1"), ("a", b"2")])
    with pytest.raises(InputError, match="two members have one name"):
        load_model(path)


def test_an_array_that_claims_to_be_huge_takes_no_memory(exported: Path, tmp_path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        file = io.BytesIO()
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
        np.lib.format.write_array_header_1_0(file, header)
        members["masked.npy"] = file.getvalue()

    with pytest.raises(InputError, match=r"masked\.npy: must be an array of numbers"):
        load_model(changed(exported, tmp_path / "m", change))


def test_an_array_of_objects_is_refused(exported: Path, tmp_path: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        file = io.BytesIO()
        np.save(file, np.array([print, 1], dtype=object), allow_pickle=True)
        members["masked.npy"] = file.getvalue()

    with pytest.raises(InputError, match=r"masked\.npy: must be an array of numbers"):
        load_model(changed(exported, tmp_path / "m", change))


# --------------------------------------------------------------------------- frames that help


def test_a_model_of_a_few_own_frames_is_fitted_as_it_was_scored(made: Made, tmp_path: Path) -> None:
    manifest = made.manifest.with_name("few.csv")
    head, *rows = made.manifest.read_text().splitlines()
    helps = ["yes" if int(row.split(".")[0].split("/")[1]) < 14 else "" for row in rows]
    lines = [f"{head},helping", *(f"{row},{yes}" for row, yes in zip(rows, helps, strict=True))]
    manifest.write_text("\n".join(lines) + "\n")
    weighted = [replace(p, classifier_params={**p.classifier_params, "own_weight": 30.0}) for p in PIPELINES]
    run = write_run(tmp_path / "run", manifest, [*weighted[:2], PIPELINES[0]])
    data = load_dataset(manifest)
    looked = []
    for trial in (0, 1, 2):
        model = export_model(run, tmp_path / "m", trial=trial)
        record = RunFolder(run).results().test(trial)
        assert record is not None
        [kept] = kept_predictions(RunFolder(run).predictions, [record]) or []
        looks = [model.look(raw_frame(data.ref(row))) for row in rows_of_test(data.split).tolist()]
        looked.append(model.scores(looks))
        assert np.array_equal(looked[-1].astype(np.float32), kept.scores)
        assert len(model.calibration.labels) == 18  # calibrated on one's own training frames alone
    assert not np.array_equal(looked[0], looked[2])
    assert (model.card["frames"], model.card["helping"]) == (60, 42)
    assert "42 of them only help: scores, calibration and promises are of the other 18" in card_text(model)
