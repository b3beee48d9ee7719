"""A file that a measurement will write: looked at before the measuring, not after it."""

import os
from pathlib import Path

import click


class WritablePath(click.Path):
    """A path whose folder is there and may be written to; else the command ends at once."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True)

    def convert(
        self, value: "str | os.PathLike[str]", param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> "str | bytes | os.PathLike[str]":
        """As click's, and the folder too."""
        path = super().convert(value, param, ctx)
        folder = Path(os.fsdecode(path)).absolute().parent
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            self.fail(f"{folder} is no folder that can be written to", param, ctx)
        return path


WRITABLE = WritablePath()
