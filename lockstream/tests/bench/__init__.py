"""Tests of the benchmark: it counts correctly, and its verdicts can fail. No test looks at how long anything takes."""
