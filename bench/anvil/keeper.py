"""Holds a process that another started, and does not let it outlive that other.

Run by path; it imports nothing of ours.
``keeper.py SECONDS COMMAND ...`` tells the command's process id in a line, and ends the command
when the keeper's standard input ends, however its starter did, or after so many seconds.
"""

import os
import select
import subprocess
import sys


def main() -> int:
    """The command's exit code; 128 and the signal's number, as shells tell it, if killed."""
    with subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL) as held:
        try:
            print(held.pid, flush=True)
            ended = os.pidfd_open(held.pid)
            select.select([sys.stdin, ended], [], [], float(sys.argv[1]))
        finally:
            held.kill()
        code = held.wait()
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
