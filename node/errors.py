"""Every error that the node raises, each with the values that caused it.

A refused transaction, block or message is an ordinary event for a node: the caller turns the
error into a verdict. A broken assertion is our own bug.
"""


class NodeError(Exception):
    """Base of all errors of ``node``."""


class InvalidEncoding(NodeError):
    """Bytes are not the canonical encoding of anything that is expected here."""

    def __init__(self, reason: str, size_bytes: int) -> None:
        super().__init__(f"{reason} ({size_bytes} bytes)")
        self.reason = reason
        self.size_bytes = size_bytes


class InvalidMessage(NodeError):
    """A peer sent what the protocol forbids; ``reason`` is a short word for counting."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class InvalidTransaction(NodeError):
    """A transaction cannot be admitted; ``reason`` is a short word for counting."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class InvalidBlock(NodeError):
    """A block breaks a rule; the expected and the actual value are kept."""

    def __init__(self, reason: str, expected: object = None, actual: object = None) -> None:
        super().__init__(f"{reason}: expected {expected!r}, got {actual!r}")
        self.reason = reason
        self.expected = expected
        self.actual = actual


class InvalidProof(NodeError):
    """A citizen's proof does not hold; ``reason`` says which step failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidParams(NodeError):
    """A protocol parameter is out of its range."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}={value!r}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


class Refused(NodeError):
    """A service refuses a transaction: a recorded failure, never a crash.

    ``reason`` becomes the receipt's status and is part of the chain.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
