"""One anvil, started, spoken to, watched and ended: it mines a block each second."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import trio

from bench.anvil.installed import Installed
from bench.cluster.door import ACCEPTED, Connection
from bench.cluster.places import find_ports
from bench.figures import MeasurementFailed
from node.host.settings import LOOPBACK

KEEPER = Path(__file__).with_name("keeper.py")
SECONDS_MAX = 600
START_S_MAX = 30.0
POLL_S = 0.02
JSON = "application/json"
LAST_WORDS_CHARS = 400


class Chain:
    """A process of its own group, with nothing but what is in ``folder``. A context manager.

    ``final_ns`` says when each block was seen, ``counts`` how many transactions it has.
    """

    def __init__(self, installed: Installed, folder: Path, senders: int) -> None:
        (self.port,) = find_ports(1)
        self.final_ns: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        self.pid = 0
        self._log = folder / "anvil.log"
        self._command = [
            sys.executable, "-I", str(KEEPER), str(SECONDS_MAX), str(installed.binary),
            "--host", LOOPBACK, "--port", str(self.port), "--silent",
            "--block-time", "1", "--accounts", str(senders), "--base-fee", "0",
            "--gas-limit", "1000000000", "--no-request-size-limit",
        ]
        # it keeps files at home
        self._environment = {"HOME": str(folder), "TMPDIR": str(folder)}
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Chain":
        with self._log.open("wb") as log:
            # in a group of its own: Ctrl-C is for us, who end it
            self._keeper = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=self._environment, process_group=0,
            )
        assert self._keeper.stdout is not None
        try:
            told = self._keeper.stdout.readline()
        except BaseException:  # Ctrl-C: nobody else would wait for its end
            self._end()
            raise
        if not told.strip().isdigit():
            self._end()
            raise MeasurementFailed(f"anvil does not start: {self.read_last_words()}")
        self.pid = int(told)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def total(self) -> int:
        """Transactions in all blocks that were seen."""
        return sum(self.counts.values())

    def require_alive(self) -> None:
        """Raises MeasurementFailed if it has ended."""
        assert self._keeper is not None
        code = self._keeper.poll()
        if code is not None:
            raise MeasurementFailed(
                f"anvil ended by itself, exit code {code}; last it said: "
                f"{self.read_last_words()}"
            )

    def read_last_words(self) -> str:
        """The end of what it said on standard error, in one line."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return " ".join(text.split())[-LAST_WORDS_CHARS:]

    async def connect(self) -> "Rpc":
        """A connection, once it listens. Raises MeasurementFailed if it does not."""
        deadline_s = trio.current_time() + START_S_MAX
        while True:
            self.require_alive()
            try:
                return await Rpc.open(self.port)
            except OSError as error:
                if trio.current_time() > deadline_s:
                    raise MeasurementFailed(f"anvil does not listen: {error}") from error
                await trio.sleep(POLL_S)

    async def look(self, rpc: "Rpc") -> None:
        """Take in the blocks that are new."""
        latest = read_quantity(await rpc.call("eth_blockNumber"))
        now_ns = time.time_ns()
        for height in range(len(self.counts) + 1, latest + 1):
            told = await rpc.call("eth_getBlockTransactionCountByNumber", hex(height))
            self.final_ns[height] = now_ns
            self.counts[height] = read_quantity(told)

    def _end(self) -> None:
        keeper, self._keeper = self._keeper, None
        assert keeper is not None
        keeper.communicate()  # the end of its input is the end of anvil


class Rpc:
    """JSON-RPC over one kept-alive connection. Methods raise what ``Connection`` raises."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, port: int) -> "Rpc":
        """A new one to this port of the loopback."""
        return cls(await Connection.open(port))

    async def close(self) -> None:
        """Hang up."""
        await self._connection.close()

    async def call(self, method: str, *params: str) -> object:
        """The result. Raises MeasurementFailed for an error."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = json.loads(await self._ask(json.dumps(asked).encode()))
        if "error" in answer:
            raise MeasurementFailed(f"anvil answers to {method}: {answer['error']}")
        result: object = answer["result"]
        return result

    async def post(self, requests: Sequence[bytes]) -> list[str]:
        """Their verdicts: accepted, or what is wrong. Each is a whole request, encoded."""
        answers = json.loads(await self._ask(b"[" + b",".join(requests) + b"]"))
        assert len(answers) == len(requests)
        return [str(answer["error"].get("message")) if "error" in answer else ACCEPTED
                for answer in answers]

    async def _ask(self, body: bytes) -> bytes:
        answer = await self._connection.ask("POST", "/", body, JSON)
        if answer is None:
            raise MeasurementFailed("anvil says that it is busy: give a smaller --backlog")
        return answer


def read_quantity(value: object) -> int:
    """A number as JSON-RPC writes it, such as 0x1f."""
    assert isinstance(value, str)
    return int(value, 16)


def encode_transfer(signed: str) -> bytes:
    """The request that hands it in; who sends a list of them is answered in its order."""
    return (b'{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["%s"]}'
            % signed.encode())
