"""The settings of a trial, frozen and validated: takes values; returns a `TrialSpec` (`spec`) or a list of their faults.

It must not know Hydra or read a file, so that every other package can import it.
"""
