"""Stands for anvil: its command line, its JSON-RPC as far as it is asked, no signatures.

A block whenever it is asked for the latest, so that no test waits for a clock. Files beside it
change its ways: ``lazy`` has it execute nothing, ``still`` mine nothing, ``dead`` end at once.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
BLOCKS: list[int] = []
WAITING: list[str] = []


def answer(asked):
    match asked["method"], asked["params"]:
        case "eth_sendRawTransaction", [raw]:
            if raw == "0xbad":
                return {"error": {"code": -32003, "message": "nonce too low"}}
            WAITING.append(raw)
            return {"result": "0x00"}
        case "eth_blockNumber", _:
            if not (HERE / "still").exists():
                BLOCKS.append(len(WAITING))
                WAITING.clear()
            return {"result": hex(len(BLOCKS))}
        case "eth_getBlockTransactionCountByNumber", [height]:
            return {"result": hex(BLOCKS[int(height, 16) - 1])}
        case "eth_getBalance", _:
            return {"result": hex(0 if (HERE / "lazy").exists() else sum(BLOCKS))}
    return {"error": {"code": -32601, "message": asked["method"]}}


class Handler(BaseHTTPRequestHandler):
    """One request or a batch of them; connections are kept."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece, or its second waits for an acknowledgement

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        found = [answer(one) for one in asked] if isinstance(asked, list) else answer(asked)
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Silent."""


if __name__ == "__main__":
    if (HERE / "dead").exists():
        sys.exit("the port is taken")
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer((sys.argv[sys.argv.index("--host") + 1], port), Handler).serve_forever()
