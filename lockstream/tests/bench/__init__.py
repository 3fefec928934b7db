"""The benchmark's own parts: that what it counts is counted right. How long anything takes is not looked at."""
