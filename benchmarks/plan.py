"""Cost of planning the batches of an epoch: drawn batch by batch, and in laps as for large data sets.

    python benchmarks/plan.py [--rows 100000 1000000]

Batches of 16 classes x 4 pictures; a class has 100 pictures on average. CPU time of one epoch's plan, the shorter of
two, both ways in one run. *Growth* is the time beside that of the row before.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bier.data.sampler import BatchPlan


def measure(plan: BatchPlan, linear: bool) -> float:
    plan.linear = linear
    times = []
    for _ in range(2):
        began = time.process_time()
        plan.epoch(0)
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments = parser.parse_args()
    print("| pictures | batch by batch | growth | in laps | growth | in laps / batch by batch |")
    print("|---|---|---|---|---|---|")
    before: list[float] = []
    for rows in arguments.rows:
        labels = np.random.default_rng(0).integers(0, max(2, rows // 100), rows)
        plan = BatchPlan(labels, 16, 4, seed=0)
        times = [measure(plan, linear) for linear in (False, True)]
        growth = [f"{time / earlier:.1f}" for time, earlier in zip(times, before, strict=True)] if before else ["", ""]
        slow, fast = times
        print(f"| {rows:,} | {slow:.2f} s | {growth[0]} | {fast:.2f} s | {growth[1]} | {fast / slow:.2f} |", flush=True)
        before = times


if __name__ == "__main__":
    main()
