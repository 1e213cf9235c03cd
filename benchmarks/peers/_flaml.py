"""FLAML's search over its own learners.

python _flaml.py FEATURES.npz PREDICTIONS.json SECONDS
"""

import json
import sys
from pathlib import Path

import numpy as np
from flaml import AutoML

data = np.load(sys.argv[1])
x, y, test = data["x"], data["y"], data["test"]
search = AutoML()
search.fit(x[~test], y[~test], task="classification", time_budget=float(sys.argv[3]), metric="accuracy",
           n_jobs=2, seed=0, verbose=0, eval_method="cv")  # fmt: skip
Path(sys.argv[2]).write_text(json.dumps(search.predict(x[test]).tolist()))
