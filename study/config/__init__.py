"""Compose configs with Hydra: a command line and files enter, a `TrialSpec` or the space of a search leaves.

The home of Hydra's grammar and of OmegaConf; nothing here trains, searches or records.
"""
