"""AutoGluon's tabular predictor with its preset for the best quality.

python _autogluon.py FEATURES.npz PREDICTIONS.json SECONDS
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from autogluon.tabular import TabularPredictor

data = np.load(sys.argv[1])
x, y, test = data["x"], data["y"], data["test"]
frame = pd.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])])
predictor = TabularPredictor(label="y", path="autogluon", verbosity=0)
predictor.fit(
    frame[~test].assign(y=y[~test]), time_limit=float(sys.argv[3]), presets="best_quality", num_cpus=2
)
Path(sys.argv[2]).write_text(json.dumps(predictor.predict(frame[test]).tolist()))
