"""Statistics of the numbers that trials end with: takes losses; returns intervals, rankings and shares of variance.

It uses NumPy and SciPy alone. It must not know where the numbers come from, or examine a network.
"""
