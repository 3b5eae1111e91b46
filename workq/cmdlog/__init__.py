"""The command log: bytes only. What stands in them is not known here.

A log takes commits in order, gives each a position, and reports how far it has come.
"""
