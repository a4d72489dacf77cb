"""Seconds that whylogs takes to profile a window of rows."""

import sys
import time

import numpy as np
import pandas as pd
import whylogs

with np.load(sys.argv[1]) as given:
    window = pd.DataFrame(
        given["window"], columns=[f"f{i}" for i in range(given["window"].shape[1])]
    )

took = []
for _ in range(3):
    began = time.process_time()
    whylogs.log(window)
    took.append(time.process_time() - began)
np.savez(sys.argv[2], seconds=min(took))
