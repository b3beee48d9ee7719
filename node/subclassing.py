"""Which classes a host or a benchmark may subclass though they are compiled.

A compiled class takes no subclass that is not compiled, unless it says so to the compiler.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:
    Class = TypeVar("Class")

    def mypyc_attr(**_: bool) -> Callable[[type[Class]], type[Class]]:
        """What the compiler reads; to Python it means nothing."""
        return lambda marked: marked

__all__ = ["mypyc_attr"]
