"""A process that checks signatures as they are made, and makes those that will be asked next.

What the virtual peers of this process sign, they check a moment later, when it has reached
another peer. And what two of them sign in turn, all of them will: a block's Prepare and seal
are the same bytes for every validator. Meanwhile a second processor core can have done it.
Whoever asks before the answer is there signs or checks for itself, so that nothing depends on
how quick the process is: an Ed25519 signature is determined by key and message.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from node.crypto import Identity, is_signature_valid
from node.types import PublicKey, Signature
from sim.workers import WorkerDied, hold_interrupt

MESSAGE_BYTES: Final = 32
"""Peers sign digests; anything else is left to whoever asks."""

ANSWER_BYTES: Final = 64
RECORD_BYTES: Final = 32 + MESSAGE_BYTES + ANSWER_BYTES
WAITING_MAX: Final = 512
"""Records on the way there, which is about what the pipe takes without waiting."""

BLANK: Final = bytes(ANSWER_BYTES)
"""Asked, a signature that is to be made; answered, one that does not hold."""

_JOIN_S = 5.0

Record: TypeAlias = tuple[PublicKey, bytes, Signature]
"""Key, message, signature."""


class Notary:
    """Signatures on their way to be made or checked; ``close`` ends the process.

    It signs for those whose ``seeds`` it is given, by their public keys, and checks for all.
    Raises WorkerDied if the process ends by itself.
    """

    __slots__ = ("_connection", "_file", "_keys", "_rest", "_waiting", "process")

    def __init__(self, seeds: Mapping[PublicKey, bytes]) -> None:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        self._connection: Connection[bytes, bytes] = mine
        self._file = mine.fileno()
        self._keys = tuple(seeds)
        self._waiting: deque[Record] = deque()
        self._rest = b""
        self.process = context.Process(
            target=run_notary, args=(tuple(seeds.values()), theirs), daemon=True
        )
        with hold_interrupt():
            self.process.start()
        theirs.close()
        os.set_blocking(self._file, False)

    @property
    def waiting(self) -> int:
        """How many were asked and not taken."""
        return len(self._waiting)

    def fileno(self) -> int:
        """The pipe's, for whoever wants to wait for answers."""
        return self._file

    def check(self, key: PublicKey, message: bytes, signature: Signature) -> None:
        """Have it checked, unless too much waits already."""
        if len(message) == MESSAGE_BYTES and signature != BLANK:
            self._ask([(key, message, signature)])

    def sign(self, message: bytes, signed: Collection[PublicKey]) -> bool:
        """Have all sign it, and check that, who have not ``signed``; whether they will.

        Nobody will if one who signed is not of them, or too much waits already.
        """
        if len(message) != MESSAGE_BYTES or not all(key in self._keys for key in signed):
            return False
        return self._ask([
            (key, message, BLANK) for key in self._keys if key not in signed
        ])

    def take(self) -> list[Record]:
        """Those of what was asked that were found valid since the last call."""
        try:
            read = os.read(self._file, WAITING_MAX * ANSWER_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise self._bury() from error
        if not read:
            raise self._bury()
        answers = self._rest + read
        whole = len(answers) - len(answers) % ANSWER_BYTES
        self._rest = answers[whole:]
        taken: list[Record] = []
        for at in range(0, whole, ANSWER_BYTES):
            key, message, _ = self._waiting.popleft()
            signature = answers[at : at + ANSWER_BYTES]
            if signature != BLANK:
                taken.append((key, message, signature))
        return taken

    def close(self) -> None:
        """Nothing more is wanted. Closing twice is harmless."""
        self._connection.close()
        self.process.join(_JOIN_S)  # it reads the pipe's end
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()

    def _ask(self, records: list[Record]) -> bool:
        if len(self._waiting) + len(records) > WAITING_MAX:
            return False
        asked = b"".join([part for record in records for part in record])
        try:
            written = os.write(self._file, asked)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._bury() from error
        assert written == len(records) * RECORD_BYTES, "the pipe takes all that may wait"
        self._waiting.extend(records)
        return True

    def _bury(self) -> WorkerDied:
        self.process.join(_JOIN_S)
        return WorkerDied("the notary", self.process.exitcode)


def run_notary(seeds: Iterable[bytes], connection: "Connection[bytes, bytes]") -> None:
    """The process's whole life: a signature for each record, in order, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # both go to all; the simulation decides
    identities = [Identity(seed) for seed in seeds]
    signers = {identity.public: identity for identity in identities}
    file = connection.fileno()
    rest = b""
    while True:
        try:
            read = os.read(file, RECORD_BYTES * WAITING_MAX)
        except OSError:
            return
        if not read:
            return
        rest += read
        whole = len(rest) - len(rest) % RECORD_BYTES
        for at in range(0, whole, RECORD_BYTES):
            try:
                # at once, not all together: somebody may be about to ask
                os.write(file, answer(rest[at : at + RECORD_BYTES], signers))
            except OSError:
                return
        rest = rest[whole:]


def answer(record: bytes, signers: Mapping[PublicKey, Identity]) -> Signature:
    """The record's signature, made first if it is BLANK; BLANK if it does not hold."""
    key, message, signature = record[:32], record[32:64], record[64:]
    if signature == BLANK:
        signature = signers[key].sign(message)
    return signature if is_signature_valid(key, message, signature) else BLANK
