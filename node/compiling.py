"""What classes tell the compiler; to Python it means nothing.

``allow_interpreted_subclasses``: a host or a benchmark may inherit from the class, which a
compiled class otherwise allows to compiled ones only. ``acyclic``: no object of it is ever part
of a cycle, so that the garbage collector need not know of the many that are made.

Compiled, a method of a base class is called directly, and one of a Protocol is looked up by
name: what the hot path calls across parts is an abstract class, though it may have one heir.
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
