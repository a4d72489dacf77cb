"""LightGBM's scores of rows: a classifier is trained, or one that was trained before is read."""

import sys

import lightgbm
import numpy as np

with np.load(sys.argv[1]) as given:
    question = dict(given)

answer = {}
if "model" in question:
    booster = lightgbm.Booster(model_str=str(question["model"]))
else:
    classifier = lightgbm.LGBMClassifier(
        n_estimators=300, learning_rate=0.05, num_leaves=31, random_state=0, verbose=-1
    )
    booster = classifier.fit(question["training"], question["labels"]).booster_
    answer["model"] = np.array(booster.model_to_string())
    answer["gain"] = booster.feature_importance("gain")
answer["scores"] = booster.predict(question["rows"])
np.savez(sys.argv[2], allow_pickle=False, **answer)
