"""The real servers of `make test-real`: built once into a cache, started for one command, stopped after it.

`python -m tests.real.lab --help` is the door for people and for make; `client.py` is the door for tests. What runs and
where it comes from stands in `programs.py`. Nothing of Backout is imported here: the lab is the world Backout acts on.
"""
