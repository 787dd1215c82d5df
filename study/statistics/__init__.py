"""Statistics of numbers that trials end with: losses enter, intervals, rankings and shares of variance leave.

NumPy and SciPy alone; nothing here knows where the numbers come from, or looks into a network.
"""
