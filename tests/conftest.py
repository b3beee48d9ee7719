"""Property tests draw the same examples in every run, and have no deadline on shared cores."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
