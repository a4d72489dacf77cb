"""NannyML's default univariate drift calculator: whether each feature of each chunk alarms."""

import sys

import nannyml as nml
import numpy as np
import pandas as pd

with np.load(sys.argv[1]) as given:
    reference, windows = given["reference"], given["windows"]

names = [f"f{i}" for i in range(windows.shape[2])]
calculator = nml.UnivariateDriftCalculator(column_names=names, chunk_size=windows.shape[1])
calculator.fit(pd.DataFrame(reference, columns=names))
rows = pd.DataFrame(windows.reshape(-1, len(names)), columns=names)
found = calculator.calculate(rows).filter(period="analysis").to_df()
alerts = np.column_stack([found[(name, "jensen_shannon", "alert")] for name in names])
np.savez(sys.argv[2], drifted=alerts.astype(bool))
