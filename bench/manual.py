"""What the help of ``veche run`` and ``veche cluster`` says besides their options.

Imports what it lists when it is asked: ``veche --help`` must not wait for it.
"""

import click

FAULTS = (
    "Who: validators=, relays= or observers= with a number, 10%, all, or f (as many validators "
    "as may fail); peers=0,4 by their numbers; region=NAME. When: at=09:30 of the local day or "
    "at=+90s from the start, until the end of the run or for=20m."
)
CLUSTER_FAULTS = (
    "The start is three minutes before the doors open, or the scenario's own if that is later, "
    "and times are the city's: with --speed 20, at=+4m is a minute after the doors have "
    "opened, and 12 s after the start by the clock. for=30s lasts 1.5 s."
)


class RunHelp(click.Command):
    """The help of ``run`` also lists the scenarios and the faults that it takes by name."""

    about_faults: tuple[str, ...] = (FAULTS,)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Before the example, so that the example stays the last line."""
        from sim.scenario import list_scenarios, load_scenario

        with formatter.section("Scenarios"):
            formatter.write_dl([
                (name, load_scenario(name).question) for name in list_scenarios()
            ])
        with formatter.section("Faults"):
            formatter.write_dl([
                (verb, f"--fault '{example}'") for verb, example in self.list_faults()
            ])
            for text in self.about_faults:
                formatter.write_paragraph()
                formatter.write_text(text)
        super().format_epilog(ctx, formatter)

    def list_faults(self) -> list[tuple[str, str]]:
        """Each kind with an example."""
        from sim.faults import get_fault_kinds

        return [(verb, kind.example) for verb, kind in get_fault_kinds().items()]


class ClusterHelp(RunHelp):
    """The same for ``cluster``, with the faults that can be done to real processes."""

    about_faults = (FAULTS, CLUSTER_FAULTS)

    def list_faults(self) -> list[tuple[str, str]]:
        """Each kind that a cluster knows, with an example."""
        from bench.cluster.window import REAL_FAULTS

        return sorted((kind.verb, kind.example) for kind in REAL_FAULTS)
