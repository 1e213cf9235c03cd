"""A plan in words."""

from __future__ import annotations

import math

from sweeper.planning.values import Choices, FeatureCost, FeaturizerCost, Grid, NetworkCosts, SearchCost


def unreadable_lines(files: tuple[tuple[str, str], ...]) -> list[str]:
    if not files:
        return []
    name, reason = files[0]
    return [
        f"not counted: {_many(len(files), 'file')} that cannot be opened, the first {name} ({reason}); a "
        "sweep lists all of them and stops, or leaves them out with --skip-bad"
    ]


def grid_lines(grid: Grid) -> list[str]:
    """Return how the size of the grid comes about, slot by slot."""
    lines = [f"grid of space {grid.space}: {_count(grid.pipelines)} pipelines"]
    if grid.scale:
        lines.append(f"scale {grid.scale}")
    for slot, parts in grid.slots.items():
        for part in parts:
            owner = slot if slot == part.name else f"{slot} {part.name}"
            lines.append(f"  {owner}: {_arithmetic(part)}")
        if len(parts) > 1:
            terms = " + ".join(_count(part.size) for part in parts)
            lines.append(f"  {slot}s: {terms} = {_count(sum(part.size for part in parts))}")
        if slot == "featurizer" and grid.most > 1:
            representations = _many(grid.representations, "representation")
            lines.append(f"  up to {grid.most} featurizers side by side: {representations}")
    sizes = [
        grid.representations if slot == "featurizer" else sum(part.size for part in parts)
        for slot, parts in grid.slots.items()
    ]
    product = math.prod(sizes)
    lines.append(f"  {' x '.join(map(_count, sizes))} = {_count(product)}")
    if grid.pipelines < product:
        lines.append(
            f"  {_count(grid.pipelines)} of them are pipelines: a head goes with a network that is trained, "
            + ("with nothing beside it, " if grid.most > 1 else "")
            + "and with reducer none"
        )
    return lines


def _arithmetic(part: Choices) -> str:
    factors = [f"{_count(size)} {name}" for name, size in part.parameters.items()]
    if len(factors) > 1:
        return f"{' x '.join(factors)} = {_count(part.size)}"
    return factors[0] if factors else "1"


def feature_lines(features: FeatureCost, frames: int, cpus: int) -> list[str]:
    settings = _many(features.intensities, "setting")
    each = " for each setting" if features.intensities > 1 else ""
    return [
        f"blocks, each computed once ({frames} frames, {settings} of intensity):",
        *(f"  {f.name}: {_blocks(f)}; {f.ms_per_frame:.1f} ms a frame" for f in features.featurizers),
        f"  reading and scaling: {features.read_ms_per_frame:.1f} ms a frame",
        f"  together: {_cost(features.cpu_s, cpus)}{each}",
    ]


def _blocks(featurizer: FeaturizerCost) -> str:
    text = _many(featurizer.blocks, "block")
    if featurizer.codebook:
        return f"{text} of descriptors, and {_many(featurizer.representations, 'codebook')} a fold"
    return f"{text} for {_many(featurizer.representations, 'representation')}"


def network_lines(costs: NetworkCosts) -> list[str]:
    """Return what fits of networks cost that are made once, however many classifiers use them."""
    if not costs.networks:
        return []
    times = "once" if costs.fits == 1 else f"once for each of {costs.fits} folds"
    lines = [
        "",
        f"networks, each choice trained {times} on {costs.train_frames} frames (times are of one core here):",
    ]
    for cost in costs.networks:
        trained = f"{cost.epochs} epochs {_time(cost.fit_s)}" if cost.epochs else "not trained"
        features = f"features {1e3 * cost.read_s_per_frame:.0f} ms a frame"
        lines.append(f"  {cost.name}: {_many(cost.choices, 'choice')}; {trained}; {features}")
    return [*lines, f"  their inputs on disk: {costs.input_bytes / 2**30:.2f} GiB"]


def search_lines(search: SearchCost, cpus: int) -> list[str]:
    lines = [
        f"search {search.search}: {_trials(search)}, {search.folds} folds: about "
        f"{search.evaluations:.0f} evaluations, which cost as much as {search.full_budgets:.0f} full fits",
        f"  one full fit: about {search.fit_s:.2f} s; the search: {_cost(search.cpu_s, cpus)}",
    ]
    if search.closing_fits:
        lines.append(
            "after it, the best on the test split and with other seeds: at most "
            f"{search.closing_fits} full fits, {_cost(search.closing_cpu_s, cpus)}"
        )
    if search.codebooks:
        lines.append("  codebooks are not counted: one takes minutes where it has thousands of clusters")
    return lines


def _trials(search: SearchCost) -> str:
    trials = _many(search.trials, "trial")
    return f"about {trials} in the time budget" if search.in_time else trials


def _cost(cpu_s: float, cpus: int) -> str:
    return f"about {_time(cpu_s)} of one core, {_time(cpu_s / cpus)} on {cpus}"


def _count(size: float) -> str:
    return "infinitely many" if math.isinf(size) else f"{int(size):,}"


def _many(size: float, noun: str) -> str:
    return f"{_count(size)} {noun}{'' if size == 1 else 's'}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
