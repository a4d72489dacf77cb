"""Seconds of Evidently's default drift preset on a window."""

import sys
import time

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

with np.load(sys.argv[1]) as given:
    names = [f"f{i}" for i in range(given["reference"].shape[1])]
    reference, window = (pd.DataFrame(given[n], columns=names) for n in ("reference", "window"))

definition = DataDefinition(numerical_columns=names)
before, now = (Dataset.from_pandas(rows, definition) for rows in (reference, window))
took = []
for _ in range(5):
    began = time.process_time()
    Report([DataDriftPreset()]).run(now, before).dict()
    took.append(time.process_time() - began)
np.savez(sys.argv[2], seconds=np.median(took))
