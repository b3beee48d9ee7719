"""What a host runs: something that takes inputs and answers with effects."""

from abc import ABC, abstractmethod

from node.compiling import mypyc_attr
from node.effects import Effect
from node.inputs import Input
from node.types import Now


@mypyc_attr(allow_interpreted_subclasses=True)
class Machine(ABC):
    """A ``Node``, or an adversary with the same door."""

    __slots__ = ()

    @abstractmethod
    def handle(self, now: Now, happened: Input) -> tuple[Effect, ...]:
        """What the host must do about one input, in order. Raises nothing for any bytes."""
