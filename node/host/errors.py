"""All that the host refuses or fails at; each error names the value and the remedy."""


class HostError(Exception):
    """Base of all errors of ``node.host``; its text is one line for whoever runs the node."""


class SettingsError(HostError):
    """A setting, or a field of the genesis file, is missing, unknown or out of its range."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}={value!r}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


class KeyFileError(HostError):
    """A key file cannot be made or trusted. Neither text nor attributes hold its content."""

    def __init__(self, path: object, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}: {remedy}")
        self.path = path
        self.reason = reason
        self.remedy = remedy


class StoreError(HostError):
    """The disk did not keep, or cannot give back, what the node needs."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


class StoreBusy(StoreError):
    """Another process uses the folder."""


class StoreDamaged(StoreError):
    """What was written is not what is there: to go on might contradict a signature."""


class DiskFull(StoreError):
    """Nothing more can be written; what was acknowledged before is safe."""


class HandshakeFailed(HostError):
    """A link was not set up; ``reason`` is a short word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LinkRefused(HostError):
    """An authenticated peer gets no link; ``reason`` is a short word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LinkBroken(HostError):
    """A link that was up has ended; ``reason`` is a short word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
