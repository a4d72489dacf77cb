"""Evidently's default test of each feature of each window: which one, and whether it alarms."""

import sys

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType

with np.load(sys.argv[1]) as given:
    reference, windows = given["reference"].astype(np.float64), given["windows"]

numerical = ColumnType.Numerical
drifted = np.zeros((len(windows), windows.shape[2]), bool)
for feature in range(windows.shape[2]):
    # The order of the rows does not matter to the tests, and sorted ones are sorted sooner.
    before = pd.Series(np.sort(reference[:, feature]))
    test = get_stattest(before, pd.Series(windows[0, :, feature]), numerical, None)
    for window in range(len(windows)):
        now = pd.Series(windows[window, :, feature].astype(np.float64))
        drifted[window, feature] = test(before, now, numerical, None).drifted
np.savez(sys.argv[2], drifted=drifted, method=np.array(test.display_name))
