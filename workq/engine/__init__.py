"""The state machine: jobs, queues, order, deadlines, transitions. Pure.

`state` holds what there is and applies transitions to it; `engine` decides which transitions
there shall be. Nothing here knows a clock, chance, a loop, a socket, a file or a logger.
"""
