"""A process that checks what peers here have signed, and makes signatures that they will want.

A signature that this process made holds, so nobody waits until that is seen; that it is seen is
what the notary is for, and it ends, and the run with it, at one that does not. And what two
peers sign in turn, all of them will: a block's Prepare and seal are the same bytes for every
validator. Meanwhile a second processor core can have made them. Whoever asks before the answer
is there signs for itself, so that nothing depends on how quick the process is: an Ed25519
signature is determined by key and message.

The parent never waits to write, so that the process may: they cannot wait for each other.
"""

import os
import select
import signal
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from node.crypto import Identity, is_signature_valid
from node.types import PublicKey, Signature
from sim.errors import SignaturesUnchecked
from sim.workers import WorkerDied, end_pipe, start_process

MESSAGE_BYTES: Final = 32
"""Peers sign digests; anything else is left to whoever asks."""

SIGNATURE_BYTES: Final = 64
RECORD_BYTES: Final = 32 + MESSAGE_BYTES + SIGNATURE_BYTES
ANSWER_BYTES: Final = 1 + SIGNATURE_BYTES
WAITING_MAX: Final = 512
"""Records handed over and not known to be checked; the pipe takes as many without waiting."""

GATHERED_MAX: Final = 32
"""Checks that are handed over together: nobody waits for them, and each call costs."""

BLANK: Final = bytes(SIGNATURE_BYTES)
"""In place of a signature that is to be made."""

MADE, CHECKED = b"\0", b"\1"
"""What an answer begins with: then comes a signature, or how many records were checked."""

_JOIN_S = 5.0
_PATIENCE_S = 10.0
"""It answers every few milliseconds; who takes as long as this stands still."""

Record: TypeAlias = tuple[PublicKey, bytes, Signature]
"""Key, message, signature."""


class Notary:
    """Signatures on their way to be made or checked; ``close`` ends the process.

    It signs for those whose ``seeds`` it is given, by their public keys, and checks for
    all. ``waiting`` counts the records that were handed over and are not known to be checked.
    Raises WorkerDied if the process ended by itself, which it does at a signature that does not
    hold.
    """

    __slots__ = ("_connection", "_file", "_gathered", "_keys", "_made", "_rest", "_signing",
                 "process", "waiting")

    def __init__(self, seeds: Mapping[PublicKey, bytes]) -> None:
        self._keys = tuple(seeds)
        self._gathered: list[Record] = []
        self._signing: deque[tuple[PublicKey, bytes]] = deque()
        self._made: list[Record] = []
        self._rest = b""
        self.waiting = 0
        self.process, self._connection = start_process(run_notary, tuple(seeds.values()))
        self._file = self._connection.fileno()
        os.set_blocking(self._file, False)

    def fileno(self) -> int:
        """The pipe's, for whoever wants to wait for answers."""
        return self._file

    def check(self, key: PublicKey, message: bytes, signature: Signature) -> bool:
        """Have it checked some time; whether it will be, or too much waits already."""
        assert not self._connection.closed
        if len(message) != MESSAGE_BYTES or signature == BLANK:
            return False
        if len(self._gathered) >= GATHERED_MAX and not self._ask([]):
            return False
        self._gathered.append((key, message, signature))
        return True

    def sign(self, message: bytes, signed: Collection[PublicKey]) -> bool:
        """Have all sign it who have not ``signed``, and check that; whether they will.

        Nobody will if one who signed is not of them, or too much waits already.
        """
        if len(message) != MESSAGE_BYTES or not all(key in self._keys for key in signed):
            return False
        keys = [key for key in self._keys if key not in signed]
        if len(self._made) > WAITING_MAX:
            return False
        if not self._ask([(key, message, BLANK) for key in keys]):
            return False
        self._signing.extend((key, message) for key in keys)
        return True

    def take(self) -> list[Record]:
        """The signatures that were made since the last call."""
        self._read_answers()
        made, self._made = self._made, []
        return made

    def finish(self) -> None:
        """Wait until all is checked. Raises SignaturesUnchecked if it makes no progress."""
        while self._gathered or self.waiting:
            if self._gathered and self._ask([]):
                continue
            if not select.select([self._file], [], [], _PATIENCE_S)[0]:
                raise SignaturesUnchecked(len(self._gathered) + self.waiting, _PATIENCE_S)
            self._read_answers()

    def close(self) -> None:
        """Nothing more is wanted, checked or not. Closing twice is harmless."""
        end_pipe(self._connection)
        self.process.join(_JOIN_S)  # it reads the pipe's end
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()

    def _ask(self, records: list[Record]) -> bool:
        """Hand over these, and what was gathered behind them; all or nothing."""
        asked = records + self._gathered
        if self.waiting + len(asked) > WAITING_MAX:
            self._read_answers()
            if self.waiting + len(asked) > WAITING_MAX:
                return False
        try:
            written = os.write(self._file, b"".join([b"".join(record) for record in asked]))
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._bury() from error
        assert written == len(asked) * RECORD_BYTES, "the pipe takes all that may wait"
        self.waiting += len(asked)
        self._gathered = []
        return True

    def _read_answers(self) -> None:
        try:
            read = os.read(self._file, WAITING_MAX * ANSWER_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._bury() from error
        if not read:
            raise self._bury()
        answers = self._rest + read
        whole = len(answers) - len(answers) % ANSWER_BYTES
        self._rest = answers[whole:]
        for at in range(0, whole, ANSWER_BYTES):
            content = answers[at + 1 : at + ANSWER_BYTES]
            if answers[at : at + 1] == MADE:
                key, message = self._signing.popleft()
                self._made.append((key, message, content))
            else:
                self.waiting -= int.from_bytes(content, "big")
        assert self.waiting >= 0

    def _bury(self) -> WorkerDied:
        self.process.join(_JOIN_S)
        return WorkerDied("the notary", self.process.exitcode)


def run_notary(seeds: Iterable[bytes], connection: "Connection[bytes, bytes]") -> None:
    """The process's whole life: what is to be signed first, then checks, until the pipe ends.

    It ends by AssertionError at a signature that does not hold.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # both go to all; the simulation decides
    identities = [Identity(seed) for seed in seeds]
    signers = {identity.public: identity for identity in identities}
    file = connection.fileno()
    unchecked: deque[Record] = deque()
    rest = b""
    checked = 0
    while True:
        if not unchecked or select.select([file], [], [], 0)[0]:
            try:
                read = os.read(file, RECORD_BYTES * WAITING_MAX)
            except OSError:
                return
            if not read:
                return
            rest += read
        whole = len(rest) - len(rest) % RECORD_BYTES
        for at in range(0, whole, RECORD_BYTES):
            key, message, signature = _split(rest[at : at + RECORD_BYTES])
            if signature == BLANK:
                signature = signers[key].sign(message)
                # at once, not all together: somebody may be about to ask
                _answer(file, MADE + signature)
            unchecked.append((key, message, signature))
        rest = rest[whole:]
        if unchecked:
            _check_one(unchecked)
            checked += 1
        if checked and (checked == GATHERED_MAX or not unchecked):
            _answer(file, CHECKED + checked.to_bytes(SIGNATURE_BYTES, "big"))
            checked = 0


def _check_one(unchecked: deque[Record]) -> None:
    """Check the first and drop it. Raises AssertionError if it does not hold."""
    key, message, signature = unchecked.popleft()
    assert is_signature_valid(key, message, signature), (
        f"a signature made here does not hold: key {key.hex()}, message {message.hex()}"
    )


def _split(record: bytes) -> Record:
    return record[:32], record[32:64], record[64:]


def _answer(file: int, answer: bytes) -> None:
    assert len(answer) == ANSWER_BYTES
    try:
        os.write(file, answer)
    except (BrokenPipeError, ConnectionResetError):
        return  # nobody wants to know any more, as the next read will show
