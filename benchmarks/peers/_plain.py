"""Choose as a plain script would: SVM or extra trees on standardised features, by cross-validation.

python _plain.py FEATURES.npz PREDICTIONS.json SECONDS
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

data = np.load(sys.argv[1])
x, y, test = data["x"], data["y"], data["test"]
searches = [
    GridSearchCV(
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": [1, 10, 100, 1000], "svc__gamma": ["scale", 0.0001, 0.001, 0.01]},
        cv=5,
        n_jobs=2,
    ),
    GridSearchCV(
        ExtraTreesClassifier(500, random_state=0), {"max_features": ["sqrt", 0.1, 0.5]}, cv=5, n_jobs=2
    ),
]
for search in searches:
    search.fit(x[~test], y[~test])
best = max(searches, key=lambda search: search.best_score_)
Path(sys.argv[2]).write_text(json.dumps(best.predict(x[test]).tolist()))
