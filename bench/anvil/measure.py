"""What anvil carries, pushed, watched and cut as the cluster is (bench/ANVIL.md)."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from bench.anvil.chain import POLL_S, Chain, Rpc, encode_transfer, read_quantity
from bench.anvil.installed import Installed
from bench.cluster.door import ENDS
from bench.cluster.errors import single_out
from bench.cluster.feed import Feed
from bench.cluster.saturated import Load
from bench.fidelity.real import read_cpu_s
from bench.figures import Figure, MeasurementFailed
from bench.steady import WINDOWS, SteadyBlocks
from bench.table import format_number

TIMES = 2
"""As many transfers as ballots, and as many under way: it lasts about as long, and its loop is
not what limits it."""

SENDERS = 50
RECEIVER = "0x00000000000000000000000000000000000000aa"
PATIENCE_S = 30.0
SIGNING_S_MAX = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One run: its steady part, and how many cores anvil kept busy from first to last."""

    steady: SteadyBlocks
    cores: float


@dataclass(slots=True, kw_only=True)
class Anvil:
    """Beside a cluster that is given ``load``: ``sign`` first, then ``run`` each time.

    What fails says so in ``failure`` and is the last: what is held beside anvil goes on.
    """

    installed: Installed
    load: Load
    times: int = TIMES
    runs: list[Carried] = field(default_factory=list)
    failure: str = ""
    _transfers: list[bytes] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many transfers."""
        return self.times * self.load.ballots

    def sign(self) -> None:
        """All transfers, before anything is measured."""
        try:
            self._transfers = sign(self.installed.signer, self.count)
        except MeasurementFailed as error:
            self.failure = str(error)

    def run(self) -> None:
        """One chain, from its start to its end, unless one has failed."""
        if self.failure:
            return
        try:
            load = replace(self.load, backlog_max=self.times * self.load.backlog_max)
            with tempfile.TemporaryDirectory(prefix="veche-anvil-") as folder:
                self.runs.append(carry(self.installed, Path(folder), self._transfers, load))
        except MeasurementFailed as error:
            self.failure = str(error)

    def list_figures(self, rates: Sequence[float]) -> list[Figure]:
        """Rows beside the cluster's, whose final transactions per second are ``rates``."""
        if not self.runs:
            return []
        parts = [one.steady for one in self.runs]
        name = f"anvil {self.installed.version}"
        about = (
            f"{name}, right after each run of the cluster: one process, no peers, no votes; "
            f"{self.count:,} transfers, signed ahead (not counted), pushed as the ballots are; "
            f"steady part of {', '.join(f'{part.seconds:.0f}' for part in parts)} s after "
            f"{self.load.warm_up_s:g} s, drain excluded"
        )
        return [
            Figure(name="anvil.transfers_per_s", unit="1/s", about=about,
                   values=tuple(part.compute_rate() for part in parts)),
            Figure(name="anvil.window_per_s", unit="1/s",
                   values=tuple(rate for part in parts for rate in part.compute_rates()),
                   about=f"the same in {WINDOWS} windows of each run"),
            Figure(name="anvil.blocks_per_s", unit="1/s", about="blocks in the steady part",
                   values=tuple(part.compute_block_rate() for part in parts)),
            Figure(name="anvil.cores", unit="", about="of the same, kept busy by anvil",
                   values=tuple(one.cores for one in self.runs)),
            Figure(name="anvil.warm_up_per_s", unit="1/s", about="before the steady part",
                   values=tuple(part.compute_warm_up_rate() for part in parts)),
            Figure(name="anvil.drain_s", unit="s",
                   values=tuple(part.compute_drain_s() for part in parts),
                   about="from the last transfer handed in to the last block that has any"),
            Figure(name="anvil.ratio", unit="", values=self.compute_ratios(rates),
                   about="final ballots of the cluster over transfers of anvil, run by run"),
        ]

    def compute_ratios(self, rates: Sequence[float]) -> tuple[float, ...]:
        """The cluster's rate over anvil's, of the runs that have both."""
        return tuple(rate / one.steady.compute_rate()
                     for rate, one in zip(rates, self.runs, strict=False))

    def describe(self, figures: Sequence[Figure]) -> str:
        """The comparison in a line, from ``list_figures``."""
        name = f"anvil {self.installed.version}"
        found = {figure.name: figure.median for figure in figures}
        if not self.runs:
            return f"{name}: not measured, {self.failure}"
        failed = f"; then it failed: {self.failure}" if self.failure else ""
        return (
            f"{name}: {format_number(found['anvil.transfers_per_s'])} transfers/s; the cluster "
            f"carries {found['anvil.ratio']:.2f} times as many ballots{failed}"
        )


def sign(signer: Sequence[str], count: int) -> list[bytes]:
    """So many transfers, by all cores. Raises MeasurementFailed."""
    cores = len(os.sched_getaffinity(0))
    share = -(-count // cores)
    transfers: list[bytes] = []
    with ExitStack() as stack:
        processes = []
        for first in range(0, count, share):
            words = [first, min(share, count - first), SENDERS]
            process = stack.enter_context(subprocess.Popen(
                [*signer, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, process_group=0,
            ))
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            try:
                out, err = process.communicate(timeout=SIGNING_S_MAX)
            except subprocess.TimeoutExpired as error:
                raise MeasurementFailed(f"signing took over {SIGNING_S_MAX:g} s") from error
            if process.returncode:
                raise MeasurementFailed(f"signing: {' '.join(err.split())[-400:]}")
            transfers += map(encode_transfer, out.split())
    if len(transfers) != count:
        raise MeasurementFailed(f"{len(transfers):,} of {count:,} transfers were signed")
    return transfers


def carry(
    installed: Installed, folder: Path, transfers: Sequence[bytes], load: Load
) -> Carried:
    """Push them all. Raises MeasurementFailed unless each was executed."""
    with Chain(installed, folder, SENDERS) as chain:
        try:
            with single_out():
                feed, cores = trio.run(push, chain, transfers, load)
        except ENDS as error:
            chain.require_alive()
            raise MeasurementFailed(f"anvil has hung up: {error}") from error
    sent_ns = feed.sent_ns
    return Carried(
        steady=SteadyBlocks(
            chain.final_ns, chain.counts.__getitem__, began_ns=sent_ns[0],
            handed_ns=max(sent_ns), warm_up_s=load.warm_up_s,
        ),
        cores=cores,
    )


async def push(
    chain: Chain, transfers: Sequence[bytes], load: Load
) -> tuple[Feed, float]:
    """Until all are in blocks; how many cores anvil kept busy meanwhile."""
    feed = Feed(
        chain.port, transfers, time.time_ns, backlog_max=load.backlog_max, batch=load.batch,
        open_taker=Rpc.open,
    )
    rpc = await chain.connect()
    try:
        await chain.look(rpc)
        began_s, spent_s = trio.current_time(), read_cpu_s(chain.pid)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run, load.connections)
            await follow(chain, rpc, feed, len(transfers))
        cores = (read_cpu_s(chain.pid) - spent_s) / (trio.current_time() - began_s)
        received = read_quantity(await rpc.call("eth_getBalance", RECEIVER, "latest"))
    finally:
        await rpc.close()
    if received != len(transfers):
        raise MeasurementFailed(f"{received:,} of {len(transfers):,} transfers were executed")
    return feed, cores


async def follow(chain: Chain, rpc: Rpc, feed: Feed, count: int) -> None:
    """Until so many are in blocks. MeasurementFailed if one is refused or none moves."""
    moved_s = trio.current_time()
    while feed.final < count:
        await trio.sleep(POLL_S)
        chain.require_alive()
        await chain.look(rpc)
        if chain.total > feed.final:
            feed.final, moved_s = chain.total, trio.current_time()
        if feed.refused or trio.current_time() - moved_s > PATIENCE_S:
            raise MeasurementFailed(
                f"{feed.final:,} of {count:,} transfers are in blocks, refused: "
                f"{dict(feed.refused)}"
            )
