"""A quarter of driftfdr's hundred scenarios: the values of every stream, and when it changes."""

import sys

import numpy as np
from driftfdr import benchmark_suite, make_scenario

with np.load(sys.argv[1]) as given:
    part, parts = int(given["part"]), int(given["parts"])

answer = {}
for number, (_, config, seed) in enumerate(benchmark_suite()):
    if number % parts == part:
        scenario = make_scenario(config, seed)
        answer[f"{number}|values"] = scenario.values.astype(np.float32)
        answer[f"{number}|changes"] = scenario.change_start
np.savez(sys.argv[2], allow_pickle=False, **answer)
