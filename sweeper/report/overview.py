"""The overview of a report: what was searched, and what it cost."""

from __future__ import annotations

import json
from typing import Any

from sweeper.data.frames import INVALID_BY, invalid_shares
from sweeper.pipeline import value_text
from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Code, Column, Section, Table, Text
from sweeper.report.run import Run
from sweeper.space.study import SCALE

_PACKAGES = ("ray", "torch", "timm", "scikit-learn", "lightgbm", "xgboost", "catboost", "numpy", "numba")


# --------------------------------------------------------------------------- what was searched


def searched(run: Run) -> Section:
    """The data, the search space, and how it was searched."""
    notes = run.environment.get("notes") or ()
    blocks: list[Block] = [_facts(run), *(Text(f"Note: {note}.") for note in notes), _space(run)]
    if run.space.get(SCALE):
        blocks.insert(0, Text(f"A cut of the space, {run.space[SCALE]}.", "verdict"))
    source = run.space.get("source")
    if source:
        blocks.append(Text(f"Source of the space: {source}", "note"))
    return Section("searched", "What was searched", blocks, "Search")


def _facts(run: Run) -> Table:
    spec, environment = run.spec, run.environment
    folds = environment.get("folds")
    split = f"{spec.folds}-fold cross-validation" + (f" × {spec.repeats}" if spec.repeats > 1 else "")
    if folds == 1:
        split = "one split into training and validation frames, the data set's own"
    if spec.representation_share is not None:
        split += f"; {100 * spec.representation_share:g} % of the frames fit representations alone"
    if spec.hold_out is not None and folds != 1:
        split = f"{folds or spec.folds} folds" + (f" × {spec.repeats}" if spec.repeats > 1 else "")
        split += ", whole domains held out"
    if spec.group_by is not None:
        split += f"; frames of one {spec.group_by} stay together"
    facts = [
        ("data", spec.data),
        ("frames", _frames(run)),
        ("invalid pixels", _invalid_pixels(run)),
        ("classes", ", ".join(run.classes)),
        ("scored by", split),
        ("ranked by", run.metric),
        ("search", _search(run)),
        ("begun with", _beginning(run)),
        ("pipelines in the space", _size(run)),
        ("trials", _outcomes(run)),
        ("seed", str(spec.seed)),
    ]
    return Table(
        (Column("", numeric=False), Column("", numeric=False)), [(Cell(k), Cell(v)) for k, v in facts if v]
    )


def _frames(run: Run) -> str:
    if not run.n_frames:
        return "not checked yet"
    helping = run.environment.get("helping")
    return f"{run.n_frames - helping:,}, and {helping:,} that help" if helping else f"{run.n_frames:,}"


def _invalid_pixels(run: Run) -> str:
    """Return how many pixels each source calls invalid; empty where the list of frames is not at hand."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(
            run.folder.frames, columns=["error", "height", "width", *INVALID_BY]
        ).to_pandas()
    except (OSError, pa.ArrowException):
        return ""
    good = table[table["error"].isna()]
    return invalid_shares(
        int((good["height"] * good["width"]).sum()), {name: int(good[name].sum()) for name in INVALID_BY}
    )


def _search(run: Run) -> str:
    ladder = run.spec.ladder
    if len(ladder.fractions) == 1:
        return run.spec.search
    budgets = ", ".join(f"{fraction:.2g}" for fraction in sorted(ladder.fractions))
    return f"{run.spec.search}, budgets {budgets} of the full cost"


def _beginning(run: Run) -> str:
    known = run.spec.warm_start
    return (
        f"{c.counted(len(known['pipelines']), 'pipeline')} of {known['run']}"
        if isinstance(known, dict)
        else ""
    )


def _size(run: Run) -> str:
    try:
        size = run.spec.search_space.size
    except ValueError:  # a plugin of the run is not here
        return "not known here"
    return "infinitely many" if size == float("inf") else f"{int(size):,}"


def _outcomes(run: Run) -> str:
    counts = run.tried["status"].value_counts()
    said = {"done": "at full budget", "stopped": "stopped early", "failed": "failed"}
    parts = [f"{counts[status]:,} {words}" for status, words in said.items() if status in counts]
    return f"{len(run.tried):,}: {', '.join(parts)}" if parts else "none yet"


def _space(run: Run) -> Table:
    """Each plugin with the choices of its parameters, as the space's file writes them."""
    rows = []
    for slot in ("intensity", "featurizers", "combine", "reducers", "classifiers"):
        found = run.space.get(slot) or {}
        if slot in ("intensity", "combine"):
            found = {slot: found} if found else {}
        plugins = found if isinstance(found, dict) else dict.fromkeys(map(str, found))
        for name, params in plugins.items():
            choices = "; ".join(f"{k}: {_choice(v)}" for k, v in (params or {}).items())
            rows.append((Cell(slot.removesuffix("s")), Cell(str(name), strong=True), Cell(choices or "—")))
    columns = (Column("", numeric=False), Column("plugin", numeric=False), Column("choices", numeric=False))
    title = f"Search space {run.space_name}: choices of every parameter"
    return Table(columns, rows, title, heads=2, folded=True)


def _choice(value: Any) -> str:
    if isinstance(value, dict):
        if "subsets" in value:
            return f"any of {value_text(value['subsets'])}"
        if {"low", "high"} <= set(value):
            ends = " to ".join(value_text(value[end]) for end in ("low", "high"))
            return f"{ends} (log)" if value.get("log") else ends
        return json.dumps(value)
    if isinstance(value, list):
        return " | ".join(f"[{value_text(v)}]" if isinstance(v, list) else value_text(v) for v in value)
    return value_text(value)


# --------------------------------------------------------------------------- time and cost


def cost(run: Run) -> Section:
    """Core time by what it was spent on, and what was not computed again."""
    lines = [*_features(run), *_fits(run)]
    if not lines:
        return Section("cost", "Time and cost")
    rows = [(Cell(name), Cell(c.duration(seconds), seconds), Cell(about)) for name, seconds, about in lines]
    columns = (Column("", numeric=False), Column("core time"), Column("", numeric=False))
    blocks: list[Block] = [Table(columns, rows, "Core time spent")]
    blocks += [Text(text) for text in _reused(run)]
    blocks += _sessions(run)
    return Section("cost", "Time and cost", blocks, "Cost")


def _features(run: Run) -> list[tuple[str, float, str]]:
    if not run.blocks:
        return []
    seconds = _block_seconds(run)
    n = len({name for info in run.blocks for name in info.blocks})
    return [("features", seconds, f"{c.counted(n, 'block')}, each computed once for every frame")]


def _block_seconds(run: Run) -> float:
    """Reading, intensities and featurizers, once for each file of blocks; training is told elsewhere."""
    return sum((info.prepare_ms + info.compute_ms) * info.rows for info in run.blocks) / 1e3


def _fits(run: Run) -> list[tuple[str, float, str]]:
    total = run.totals
    lines = []
    trained = float(run.curves["seconds"].sum()) if len(run.curves) else 0.0
    if trained:
        epochs, fits = len(run.curves), run.curves["fit"].nunique()
        lines.append(("networks", trained, f"{epochs:,} epochs of {c.counted(fits, 'fit')}"))
    if total.evaluations:
        failed = f", {total.failed:,} of them failed" if total.failed else ""
        about = f"{c.counted(total.evaluations, 'evaluation')} (one fold at one budget){failed}"
        lines.append(("reducers and classifiers", total.fit_s, about))
        lines.append(("predictions", total.predict_s, "frames scored in those evaluations"))
    return lines


def _reused(run: Run) -> list[str]:
    """Return a paragraph on what caching and stopping early have saved."""
    said = []
    usable = run.tried[run.tried["status"] != "failed"]
    if run.n_frames and run.blocks and len(usable):
        anew = float(usable["featurize_ms_per_frame"].sum()) * run.n_frames / 1e3
        once = _block_seconds(run)
        if once > 0 and anew > once:
            said.append(
                f"Blocks were computed once and shared. Computing the features of {len(usable):,} "
                "pipelines anew for each, as a script without a store does, would have taken about "
                f"{c.duration(anew)} of core time: {anew / once:.1f} times as much."
            )
    if len(run.curves):
        fits, served = run.curves["fit"].nunique(), int((usable["training_set"] != "").sum())
        said.append(f"{c.counted(fits, 'fit')} of networks served {c.counted(served, 'pipeline')}.")
    at = run.totals.at_budget
    if len(at) > 1:
        spent = sum(budget * n for budget, n in at.items())
        rungs = ", ".join(f"{n:,} at budget {budget:.2g}" for budget, n in sorted(at.items()))
        full = len(run.tried) * int(run.environment.get("folds") or run.spec.folds)
        said.append(
            f"Evaluations by budget: {rungs}; together {spent:,.0f} full fits. All pipelines on every "
            f"fold at full budget would be {full:,}."
        )
    return said


def _sessions(run: Run) -> list[Block]:
    sessions = run.sessions
    if not sessions:
        return []
    names = {
        "started": "started (UTC)", "seconds": "wall time", "evaluations": "evaluations computed",
        "evaluations_known": "from the journal", "blocks_computed": "blocks computed",
        "blocks_reused": "blocks reused", "epochs": "epochs trained",
    }  # fmt: skip
    rows = []
    for session in sessions:
        cells = []
        for key in names:
            value = session.get(key, "")
            text = (
                c.duration(float(value))
                if key == "seconds"
                else f"{value:,}"
                if isinstance(value, int)
                else value
            )
            cells.append(Cell(str(text), value))
        rows.append(cells)
    columns = [Column(name, numeric=i > 0) for i, name in enumerate(names.values())]
    note = "Sessions that were killed leave no line here; what they computed is in the journal."
    return [Table(columns, rows, "Sessions of this sweep", note)]


# --------------------------------------------------------------------------- provenance


def provenance(run: Run) -> Section:
    """Versions, hardware and the spec: what it takes to get the same numbers again."""
    environment = run.environment
    packages = environment.get("packages", {})
    facts = [
        ("sweeper", environment.get("sweeper")),
        ("Python", environment.get("python")),
        ("platform", environment.get("platform")),
        ("cores, memory", _machine(environment)),
        ("digest of the data set", environment.get("dataset_digest")),
        *((name, packages[name]) for name in _PACKAGES if name in packages),
    ]
    rows = [(Cell(k), Cell(str(v))) for k, v in facts if v]
    blocks: list[Block] = (
        [Table((Column("", numeric=False), Column("", numeric=False)), rows)] if rows else []
    )
    again = f"sweeper run sweep.yaml --out {run.name}"
    blocks.append(Text("The same numbers come from the same spec, frames and versions:"))
    blocks.append(Code(again))
    spec = run.folder.spec
    if spec.is_file():
        blocks.append(Code(spec.read_text(encoding="utf-8"), "sweep.yaml"))
    if environment:
        blocks.append(Code(json.dumps(environment, indent=2, ensure_ascii=False), "environment.json"))
    return Section("provenance", "Provenance", blocks)


def _machine(environment: Any) -> str:
    cores, memory = environment.get("cpus"), environment.get("memory_gib")
    return f"{cores}, {memory} GiB" if cores and memory else ""
