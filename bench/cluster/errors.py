"""What ends a cluster's run besides a broken invariant."""

from collections.abc import Iterator
from contextlib import contextmanager

from sim.errors import SimError


class ClusterFailed(SimError):
    """A process of the cluster did not do its part; says which, and what it said last."""

    exit_code = 112


@contextmanager
def single_out() -> Iterator[None]:
    """What one task alone has raised comes out as it is, for those who know it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
