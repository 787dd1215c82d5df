"""Run trials and studies: a composed config enters, trained, recorded and reported trials leave.

Brings the engine, the search, the tracking and the reports together, which don't import one another.
"""
