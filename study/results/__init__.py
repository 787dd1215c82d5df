"""Work with studies that have run: a study's name enters, its tables, its champion or its repaired records leave.

The home of pandas' tables; nothing here trains.
"""
