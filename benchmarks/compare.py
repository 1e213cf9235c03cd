"""Whether anything got slower: the figures of `make bench` beside those that RESULTS.md records.

A folder holds what one run of `make bench` wrote, a JSON file of each script. Every figure of the table is
compared; one that is worse by more than its noise is said, and ends the program with status 1.

    python benchmarks/compare.py FOLDER                compare a run
    python benchmarks/compare.py FOLDER... --record    renew the table: medians, and how far runs lie apart
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
HIGHER, LOWER = "higher", "lower"
FIGURES = {
    "glcm_speedup": HIGHER,
    "lbp_speedup": HIGHER,
    "forest_fit_speedup": HIGHER,
    "forest_row_speedup": HIGHER,
    "seconds_per_trial": LOWER,
    "cpu_seconds_ratio": HIGHER,
    "feature_cpu_seconds_ratio": HIGHER,
    "score_difference": LOWER,
    "train_ratio": HIGHER,
    "first_result_s": LOWER,
    "cpu_seconds_ratio_small": HIGHER,
    "fps_tiff_512": HIGHER,
    "fps_cbf_2m": HIGHER,
    "p99_ms": LOWER,
    "sort_ratio": HIGHER,
    "network_ratio_lenet": HIGHER,
    "network_ratio_resnet50": HIGHER,
    "slot_utilisation": HIGHER,
    "driver_bytes_per_trial": LOWER,
    "featurize_efficiency": HIGHER,
}
"""What is followed, and which way is better."""
_LEAST_NOISE = 0.1
_BEGIN, _END = "| figure of `--quick` | better | recorded | noise |\n| --- | --- | ---: | ---: |\n", "\n\n"
_ROW = re.compile(r"\| `(\w+)` \| \w+ \| (\S+) \| (\d+) % \|")


@dataclass(frozen=True)
class Recorded:
    """A figure as it was measured before, and the relative difference that means nothing."""

    value: float
    noise: float

    def worse_by(self, now: float, better: str) -> float:
        """Return how much worse a figure is now, relative to the recorded one; negative: better."""
        change = now - self.value if better == LOWER else self.value - now
        return change / abs(self.value) if self.value else float(change > 0)


def read_run(folder: Path) -> dict[str, float]:
    """Return the figures that the scripts wrote into a folder."""
    return {
        name: value
        for path in sorted(folder.glob("*.json"))
        for name, value in json.loads(path.read_text()).items()
    }


def read_table(text: str) -> dict[str, Recorded]:
    """Return the recorded figures."""
    table = text.partition(_BEGIN)[2].partition(_END)[0]
    return {name: Recorded(float(value), int(noise) / 100) for name, value, noise in _ROW.findall(table)}


def with_table(text: str, runs: Sequence[dict[str, float]]) -> str:
    """Return the text with the table of these runs."""
    rows = []
    for name, better in FIGURES.items():
        values = [run[name] for run in runs if name in run]
        if values:
            middle = statistics.median(values)
            apart = (max(values) - min(values)) / abs(middle) if middle else 0.0
            rows.append(f"| `{name}` | {better} | {middle:.3g} | {100 * max(apart, _LEAST_NOISE):.0f} % |")
    before, begin, after = text.partition(_BEGIN)
    return before + begin + "\n".join(rows) + _END + after.partition(_END)[2]


def compare(recorded: dict[str, Recorded], now: dict[str, float]) -> list[str]:
    """Print each figure beside the recorded one; return the names of those that are worse."""
    worse = []
    print(f"\n{'figure':30}{'recorded':>12}{'now':>12}{'change':>9}{'noise':>8}")
    for name, before in recorded.items():
        if name not in now:
            print(f"{name:30}{before.value:12.3g}{'missing':>12}")
            worse.append(name)
            continue
        value, by = now[name], before.worse_by(now[name], FIGURES[name])
        change = f"{100 * (value - before.value) / abs(before.value):+.0f} %" if before.value else ""
        mark = "  WORSE" if by > before.noise else "  better" if -by > before.noise else ""
        print(f"{name:30}{before.value:12.3g}{value:12.3g}{change:>9}{100 * before.noise:6.0f} %{mark}")
        if by > before.noise:
            worse.append(name)
    return worse


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare or record; return the exit status."""
    parser = argparse.ArgumentParser(description="Compare the figures of make bench with RESULTS.md.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="FOLDER", help="what a run of make bench wrote")
    parser.add_argument("--record", action="store_true", help="write these runs into RESULTS.md")
    options = parser.parse_args(arguments)
    runs = [read_run(folder) for folder in options.runs]
    text = RESULTS.read_text()
    if options.record:
        RESULTS.write_text(with_table(text, runs))
        return 0
    worse = compare(read_table(text), {name: value for run in runs for name, value in run.items()})
    if worse:
        print(f"\nworse by more than its noise: {', '.join(worse)}")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
