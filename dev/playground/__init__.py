"""``python -m dev.playground``: both systems and the pack on this machine, and a page to play with.

Holds no logic of the pack: the page shows what the simulators hold, and what the local platform
says of its sensors, rules and executions.
"""
