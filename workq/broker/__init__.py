"""The pure top: sessions in, commits and replies out.

The broker decides: which request is next, who waits and who is served, what one turn may do,
which replies may leave. The ring (`workq.server`) does: it reads, appends, sends and closes.
"""
