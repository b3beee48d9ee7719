"""The handshake carried out on a stream, and the public question for the genesis.

Nothing here has a time limit of its own: whoever calls sets one around it.
"""

from typing import Protocol

import trio

from node.crypto import SEED_BYTES
from node.host.errors import HandshakeFailed
from node.host.handshake import (
    Agreed,
    GenesisAsker,
    Initiator,
    Responder,
    Terms,
    give_genesis,
)
from node.host.network import Network, TcpNetwork
from node.types import PublicKey


class _Party(Protocol):
    @property
    def wanted(self) -> int: ...

    def receive(self, data: bytes) -> bytes: ...


async def greet(
    stream: trio.abc.Stream, terms: Terms, seed: bytes, expected: PublicKey | None
) -> Agreed:
    """The handshake of whoever dialled. Raises HandshakeFailed or LinkRefused."""
    assert len(seed) == SEED_BYTES
    party = Initiator(terms, seed, expected)
    await say(stream, party.hello)
    await _converse(stream, party)
    assert party.agreed is not None
    return party.agreed


async def answer(
    stream: trio.abc.Stream, terms: Terms, seed: bytes, genesis: bytes
) -> Responder | None:
    """The handshake of whoever was dialled, up to the verdict, which the caller gives.

    None: the other only asked for the genesis and was given it. Raises HandshakeFailed.
    """
    assert len(seed) == SEED_BYTES
    party = Responder(terms, seed)
    try:
        await _converse(stream, party)
    except HandshakeFailed:
        if party.farewell:
            await say(stream, party.farewell)
        raise
    if not party.asks_genesis:
        return party
    await say(stream, give_genesis(terms.chain_id, genesis))
    return None


async def fetch_genesis(
    host: str, port: int, *, timeout_s: float = 5, network: Network | None = None
) -> bytes:
    """Ask a node for its chain's genesis, at most GENESIS_BYTES_MAX bytes, as its file has it.

    Anyone may answer with anything: compare the id of the chain that it makes with one that is
    known from elsewhere. Raises HandshakeFailed, whose reason names host and port.
    """
    place = f"{host}:{port}"
    try:
        with trio.fail_after(timeout_s):
            stream = await (network or TcpNetwork()).connect(host, port)
            async with stream:
                asker = GenesisAsker()
                await say(stream, asker.hello)
                await _converse(stream, asker)
    except trio.TooSlowError as error:
        raise HandshakeFailed(explain(f"{place}: no answer within {timeout_s} s")) from error
    except OSError as error:
        raise HandshakeFailed(f"{place}: {error.strerror or error}") from error
    except HandshakeFailed as error:
        raise HandshakeFailed(f"{place}: {explain(error.reason)}") from error
    assert asker.genesis is not None
    return asker.genesis


def explain(reason: str) -> str:
    """The same, and what to do about it if whoever answered may be no node at all."""
    if any(word in reason for word in ("not veche", "hung up", "no answer", "too slow")):
        return f"{reason}: give the port where a node listens for nodes, not for pages (http)"
    return reason


async def say(stream: trio.abc.Stream, data: bytes) -> None:
    """Send one flight. Raises HandshakeFailed("connection lost")."""
    try:
        await stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise HandshakeFailed("connection lost") from error


async def _converse(stream: trio.abc.Stream, party: _Party) -> None:
    while party.wanted:
        said = party.receive(await _receive_exactly(stream, party.wanted))
        if said:
            await say(stream, said)


async def _receive_exactly(stream: trio.abc.Stream, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        try:
            data = await stream.receive_some(count - len(received))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise HandshakeFailed("connection lost") from error
        if not data:
            raise HandshakeFailed("hung up")
        received += data
    return bytes(received)
