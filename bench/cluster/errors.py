"""What ends a cluster's run besides a broken invariant."""

from sim.errors import SimError


class ClusterFailed(SimError):
    """A process of the cluster did not do its part; says which, and what it said last."""

    exit_code = 112
