"""One node as a process: its parts put together from settings, and its life until a signal."""

import functools
import gc
import os
import random
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import trio

from node.chain import Chain
from node.crypto import Identity
from node.host.clock import Clock
from node.host.errors import HostError, SettingsError, StoreError
from node.host.events import EventLog
from node.host.genesis import encode_genesis
from node.host.host import Host
from node.host.index import Index
from node.host.keystore import load_key
from node.host.links import Links, Target
from node.host.meter import Meter
from node.host.origin import Origin
from node.host.settings import Address, Settings, load_genesis
from node.host.signals import Stop, catch_signals
from node.host.store import Store
from node.inputs import Role
from node.params import Genesis

INDEX = "index.sqlite"
COLLECTOR_OBJECTS = 500_000
"""New objects after which the youngest are searched; Python's own default is 700."""

COUNT_EVERY_S = 2.0
"""Between the lines of counters in a node's file of events."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A node that is ready to run.

    ``log`` is where its events go, if anywhere; ``index`` is there for whoever reads by HTTP.
    """

    settings: Settings
    identity: Identity
    host: Host
    links: Links
    clock: Clock
    log: EventLog | None
    index: Index | None


@contextmanager
def open_parts(
    settings: Settings, genesis: Genesis, identity: Identity, targets: Sequence[Target],
    origin: Origin | None = None,
) -> Iterator[Parts]:
    """Lock and read the disk, make links and host; the disk is let go of at the end.

    ``origin`` is where a new store begins whose checkpoint is in its folder.

    Blocks while the store reads what it holds. Raises SettingsError or StoreError; what is
    raised within by a node that runs comes out as the one HostError that it is about.
    """
    with ExitStack() as stack:
        log = None
        if settings.events is not None:
            log = stack.enter_context(EventLog(settings.events))
        store = Store.open(settings.data, genesis, origin=origin)
        stack.callback(store.close)
        loaded = store.load()
        verify_whole(settings, loaded.chain)
        links = Links(
            identity=identity, role=settings.role, genesis=genesis,
            genesis_file=encode_genesis(genesis), limits=settings.limits,
            targets=targets, listen=settings.listen, random=random.random,
        )
        clock = Clock(settings.clock_speed, settings.clock_origin_ns)
        host = Host(
            genesis=genesis, identity=identity, role=settings.role, wire=links, storage=store,
            loaded=loaded, clock=clock, threads=settings.check_threads,
            watch=None if log is None else log.tell, count_links=links.stats.flatten,
        )
        index = None
        if settings.http is not None:
            index = open_index(settings, genesis, host.meter)
            stack.callback(index.close)
        with single_out():
            yield Parts(settings, identity, host, links, clock, log, index)


def open_index(settings: Settings, genesis: Genesis, meter: Meter) -> Index:
    """The index of receipts beside the store. Raises StoreError."""
    path = settings.data / INDEX
    try:
        return Index.open(path, genesis, meter)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: {error}", "make room, or look who owns it") from error


@contextmanager
def single_out() -> Iterator[None]:
    """A group of nothing but HostErrors, as tasks raise them, becomes the first of them."""
    try:
        yield
    except BaseExceptionGroup as group:
        _, others = group.split(HostError)
        if others is not None:
            raise
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def verify_whole(settings: Settings, chain: Chain) -> None:
    """Raises SettingsError for a node that others ask for blocks which it never had."""
    if chain.first == 1 or (settings.role is Role.OBSERVER and settings.http is None):
        return
    raise SettingsError(
        "data", str(settings.data),
        f"it begins at a checkpoint, block {chain.first - 1}: only an observer without http "
        "can go on from there",
    )


def verify_role(role: Role, identity: Identity, genesis: Genesis) -> None:
    """Raises SettingsError for a relay that the chain does not know.

    A validator is let start: it may be voted in later, and until then is silent.
    """
    if role is Role.RELAY and identity.public not in genesis.relays:
        raise SettingsError(
            "role", role.value,
            f"the genesis file has no relay {identity.public.hex()}: be an observer",
        )


def run_node(
    settings: Settings, say: Callable[[str], None], *, until_eof: bool = False
) -> None:
    """Run the node of ``settings`` until SIGINT, SIGTERM or SIGHUP. Raises HostError.

    ``until_eof`` ends it also with its standard input, that is, with whoever holds the other
    end. ``say`` hears one line when the node listens, and one when it has stopped.
    """
    genesis = load_genesis(settings.genesis)
    identity = load_key(settings.key)
    verify_role(settings.role, identity, genesis)
    targets = [Target(peer.host, peer.port, peer.identity) for peer in settings.peers]
    with catch_signals() as stop:
        with open_parts(settings, genesis, identity, targets) as parts:
            spare_collector()
            stop.arm()
            trio.run(live, parts, say, stop, until_eof)
            if parts.log is not None:
                tell_measured(parts, parts.log, "Stopped")
        say(f"stopped at height {parts.host.chain.height:,}")


def spare_collector() -> None:
    """Have the garbage collector look less often: it took a fifth of a busy validator's time.

    A node's many objects, transactions and state, hold no cycles: they go when let go of.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTOR_OBJECTS, 20, 100)


async def tell_counters(parts: Parts, log: EventLog) -> None:
    """Tell them now and then: who is killed cannot at its end."""
    while True:
        tell_measured(parts, log, "Counted")
        await trio.sleep(COUNT_EVERY_S)


def tell_measured(parts: Parts, log: EventLog, name: str) -> None:
    """A line of this name with all counters as they stand."""
    log.write(parts.clock.read(), name, {
        "height": parts.host.chain.height, "counters": measure(parts),
    })


def measure(parts: Parts) -> dict[str, float]:
    """The host's counters, and what this process has cost its machine since it began."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        **parts.host.counters(), "process.cpu_s": used.ru_utime + used.ru_stime,
        "process.peak_mb": used.ru_maxrss / 1_024,
    }


async def live(
    parts: Parts, say: Callable[[str], None], stop: Stop,
    until_eof: bool = False,  # noqa: FBT001, FBT002
) -> None:
    """Be a node until a signal comes, or with ``until_eof`` standard input ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_stop, stop, nursery.cancel_scope)
        await nursery.start(parts.host.run)
        web = await open_http(parts, nursery)
        say(announce(parts, web))
        if parts.log is not None:
            nursery.start_soon(tell_counters, parts, parts.log)
        if until_eof:
            nursery.start_soon(wait_eof, nursery.cancel_scope)


async def wait_stop(stop: Stop, scope: trio.CancelScope) -> None:
    """Cancel ``scope`` when a signal comes."""
    await stop.wait()
    scope.cancel()


async def wait_eof(scope: trio.CancelScope) -> None:
    """Cancel ``scope`` when standard input ends; what comes before is not looked at."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        while await stream.receive_some(4_096):
            pass
    scope.cancel()


async def open_http(parts: Parts, nursery: trio.Nursery) -> Address | None:
    """Serve people and tools in ``nursery`` if the settings say so; where. SettingsError."""
    if parts.index is None:
        return None
    # only now: a node without readers needs neither the time nor the memory of these
    from node.host.guard import HttpStats
    from node.host.http import make_app
    from node.host.server import serve_http

    settings, host = parts.settings, parts.host
    assert settings.http is not None
    limits, stats = settings.http_limits, HttpStats()
    app = make_app(
        host, parts.index, takes_transactions=settings.http_submit, limits=limits, stats=stats
    )
    try:
        bound = await nursery.start(
            functools.partial(serve_http, limits=limits, stats=stats), app, *settings.http
        )
    except OSError as error:
        raise SettingsError(
            "http", str(settings.http), f"give another address ({error.strerror or error})"
        ) from error
    nursery.start_soon(parts.index.follow, host)
    return Address(*bound)


def announce(parts: Parts, web: Address | None) -> str:
    """Who runs here, and where; the same goes to the log of events."""
    bound = parts.links.bound_address
    place = "nowhere" if bound is None else str(Address(*bound))
    pages = "" if web is None else f" and http://{web}"
    chain = parts.host.chain
    if parts.log is not None:
        parts.log.write(parts.clock.read(), "Listening", {
            "address": place, "http": None if web is None else str(web),
            "identity": parts.identity.public.hex(),
            "height": chain.height, "head": chain.head.digest.hex(),
        })
    return (
        f"{parts.settings.role.value} {parts.identity.public.hex()[:12]} listens on "
        f"{place}{pages}; chain {chain.chain_id.hex()}, height {chain.height:,}"
    )
