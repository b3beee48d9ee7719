"""Property tests draw the same examples in every run, and have no deadline on shared cores.

With ``VECHE_TEST_BUILD`` set the tests meet the compiled modules in place of the sources.
"""

import os

from hypothesis import settings

from bench.compiled import activate

if os.environ.get("VECHE_TEST_BUILD"):
    assert activate(), "there is no build for these sources: veche compile"

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
