"""What the report says of domains that were held out."""

from __future__ import annotations

import numpy as np

from sweeper.report.domains import InDomain, in_each
from sweeper.report.predictions import FrameScores


def test_domains_stand_worst_first_with_their_most_frequent_mistake() -> None:
    label = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    predicted = [0, 1, 1, 1, 0, 2, 2, 2]
    domains = np.array([0, 0, 0, 0, 0, 2, 2, 2])
    scores = FrameScores(np.arange(8), label, np.eye(3)[predicted])
    assert in_each(scores, domains, ["old", "absent", "new"], ["a", "b", "c"]) == [
        InDomain("old", 5, 0.4, "a taken for b, 2 of 3"),
        InDomain("new", 3, 1.0, ""),
    ]
