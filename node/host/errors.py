"""All that the host refuses or fails at; each error names the value and the remedy."""


class HostError(Exception):
    """Base of all errors of ``node.host``; its text is one line for whoever runs the node."""


class SettingsError(HostError):
    """A setting, or a field of the genesis file, is missing, unknown or out of its range.

    ``file`` is where it stands, if that is known.
    """

    def __init__(
        self, field: str, value: object, remedy: str, file: object = None
    ) -> None:
        place = "" if file is None else f"{file}: "
        super().__init__(f"{place}{field}={value!r}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy
        self.file = file

    def within(self, file: object) -> "SettingsError":
        """The same, of a value that stands in ``file``."""
        return SettingsError(self.field, self.value, self.remedy, file)


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


class CheckpointError(HostError):
    """A checkpoint's file cannot be read, does not hold, or does not fit what is here."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"checkpoint {path}: {reason}")
        self.path = path
        self.reason = reason


class HandshakeFailed(HostError):
    """A link was not set up; ``reason`` is a short word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SyncFailed(HostError):
    """The only peer of a citizen's node does not give the chain that follows upon its own."""


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
