"""The settings of a trial, frozen and validated: values enter, a `TrialSpec` (`spec`) or a list of what is wrong with them leaves.

Nothing here knows Hydra or reads a file, so that every other package can import it.
"""
