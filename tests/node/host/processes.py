"""A city of real processes on loopback, made with the command line alone."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import trio

from node.host.command import main
from node.host.settings import load_genesis

ROOT = Path(__file__).parents[3]
VECHE = [sys.executable, str(ROOT / "veche.py"), "node"]
SPEED = ("block_interval_ns=300000000", "round_timeout_ns=1000000000",
         "bundle_lead_ns=100000000")


def find_ports(count):
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


class City:
    """Folders of nodes by name: v0 to v3, r0, o0. ``start`` and ``stop`` their processes."""

    def __init__(self, folder, capsys):
        self.folder = folder
        self.running = {}
        self.names = ["v0", "v1", "v2", "v3", "r0", "o0"]
        roles = {"v": "validator", "r": "relay", "o": "observer"}
        ports = dict(zip(self.names, find_ports(6), strict=True))
        keys = {}
        neighbours = {
            "v1": ["v0"], "v2": ["v0", "v1"], "v3": ["v0", "v1", "v2"],
            "r0": ["v0", "v1", "v2", "v3"], "o0": ["r0"],
        }
        for name in self.names:
            words = ["init", str(folder / name), "--role", roles[name[0]],
                     "--listen", str(ports[name])]
            for peer in neighbours.get(name, ()):
                words += ["--peer", f"127.0.0.1:{ports[peer]},{keys[peer]},{roles[peer[0]]}"]
            assert main(words) == 0
            keys[name] = capsys.readouterr().out.strip()
        words = ["found", str(folder / "genesis.json"), "--relay", keys["r0"],
                 "--registrar", keys["r0"]]
        for name in self.names[:4]:
            words += ["--validator", keys[name]]
        for change in SPEED:
            words += ["--set", change]
        assert main(words) == 0
        self.genesis = load_genesis(folder / "genesis.json")
        for name in self.names:
            (folder / name / "genesis.json").symlink_to(folder / "genesis.json")
            config = folder / name / "node.toml"
            more = 'http = "0"\n' if name in ("r0", "o0") else ""
            config.write_text(f'events = "events.jsonl"\n{more}' + config.read_text())

    def start(self, *names):
        for name in names or self.names:
            self.running[name] = subprocess.Popen(
                [*VECHE, "--config", str(self.folder / name / "node.toml")],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )

    def stop(self, number=signal.SIGTERM):
        """Exit codes by name."""
        running, self.running = self.running, {}
        for process in running.values():
            process.send_signal(number)
        codes = {}
        for name, process in running.items():
            _, errors = process.communicate(timeout=20)
            codes[name] = process.returncode
            assert "Traceback" not in errors, errors
        return codes

    def kill(self, name):
        process = self.running.pop(name)
        process.kill()
        process.communicate()

    def read_events(self, name):
        path = self.folder / name / "events.jsonl"
        if not path.exists():
            return []
        *lines, _ = path.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines]

    def fetch(self, name, path):
        """What the node's HTTP answers, decoded."""
        listening = [event for event in self.read_events(name) if event["event"] == "Listening"]
        with urlopen(f"http://{listening[-1]['http']}{path}", timeout=5) as answer:
            return json.loads(answer.read())

    def get_finals(self, name):
        """Digests by height, as the node has told them."""
        return {event["height"]: event["digest"] for event in self.read_events(name)
                if event["event"] == "BlockFinal"}

    async def reach(self, height, *names, seconds=30):
        with trio.fail_after(seconds):
            for name in names or self.names:
                # no event tells of what another process writes to a file
                while max(self.get_finals(name), default=0) < height:  # noqa: ASYNC110
                    await trio.sleep_until(trio.current_time() + 0.05)
