"""The command log: bytes only. What stands in them is not known here.

A log takes commits in order, gives each a position, and reports how far it has come. To open one:
`settle.lock` the directory, read it with `scan.Reading`, `settle.settle` it, and make a
`directory.DirectoryLog` of where it ended. `docs/cmdlog.md` has the format.
"""
