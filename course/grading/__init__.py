"""Grade a class: a judge that never runs student code, and workers that run nothing else.

`system`, `sandbox`, `rooms`, `worker` and `server` are what a worker process loads;
everything else belongs to the judge.
"""
