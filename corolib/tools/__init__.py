"""To look at a program that runs: who waits for whom, who spawned whom, who holds the hub up.

`corolib.util` has the names of `tree`, `trace` and `waits` under one roof.
"""

__all__: list[str] = []
