"""Property tests draw the same examples in every run, and have no deadline on shared cores.

With ``VECHE_TEST_BUILD`` set the tests meet the compiled modules in place of the sources.

Ctrl-C and a lost terminal are heard even if the shell that started the tests in its background,
or nohup, has them ignored: what tests start would inherit that.
"""

import os
import signal

from hypothesis import settings

from bench.compiled import activate

if os.environ.get("VECHE_TEST_BUILD"):
    assert activate(), "there is no build for these sources: veche compile"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
