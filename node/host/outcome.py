"""What a citizen who has joined is told: what was checked, what was counted, what agrees."""

from textwrap import wrap

from node.host.checkpoint import Checkpoint
from node.host.joining import Joined
from node.host.recount import Recount

WIDTH = 80
NO_BREAK = "\xa0"


def describe_join(joined: Joined, *, is_trusted: bool = False) -> list[str]:
    """All that a citizen reads at the end; ``is_trusted`` if he knew the checkpoint's hash."""
    base = joined.base
    first = 1 if base is None else base.height + 1
    lines = [] if base is None else _describe_base(base, is_trusted=is_trusted)
    if joined.height >= first:
        lines.append(f"blocks {first:,} to {joined.height:,}: executed here, all valid")
    else:
        lines.append("no block was executed here")
    for item in joined.recounts:
        lines += describe(item, first)
    return lines if joined.recounts else [*lines, "no election in this chain"]


def _describe_base(base: Checkpoint, *, is_trusted: bool) -> list[str]:
    sealed, validators = len(base.block.seals), len(base.block.header.validators)
    advice = "compare it with one that you trust, or give that as --trust"
    return [
        f"began at block {base.height:,}, from a checkpoint; its hash is",
        f"  {base.block_digest.hex()}",
        f"  {'the one that you trust' if is_trusted else advice}",
        *fold(
            f"checked: {len(base.times_ns):,} headers from genesis on and {base.seals:,} "
            f"seals; {sealed} of the block's {validators} validators sealed it, and the state "
            "that is in the checkpoint"
        ),
        *fold(
            f"not checked: what blocks 1 to {base.height:,} did, for they are not here; that "
            "state is as right as those who sealed it are honest"
        ),
    ]


def fold(text: str) -> list[str]:
    """An indented text on as many lines as it takes; a no-break space is one at the end."""
    lines = wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return [line.replace(NO_BREAK, " ") for line in lines]


def describe(item: Recount, first: int = 1) -> list[str]:
    """What a citizen reads about one voting, whose count began at block ``first``."""
    count = item.count
    superseded = sum(ballot.is_superseded for ballot in count.ballots.values())
    head = f"voting {count.voting}: {len(count.ballots):,} ballots, {superseded:,} superseded"
    if not item.tallies:
        lines = [f"{head}; sealed, for the key is not restored"]
    else:
        sums = [sum(column) for column in zip(*item.tallies, strict=True)]
        choices = ", ".join(f"{n}:{NO_BREAK}{votes:,}" for n, votes in enumerate(sums[1:], 1))
        lines = [f"{head}, {sums[0]:,} spoiled", *fold(f"counted here, by choice: {choices}")]
    if count.taken:
        lines += fold(
            f"of the ballots {count.taken:,} were settled before block {first:,}: what they "
            "hold is taken from the checkpoint's state; not one of these was opened here"
        )
    if count.untimed:
        lines += fold(
            f"of the ballots {count.untimed:,} came in earlier epochs: nothing here says "
            "whether that was in the voting's hours"
        )
    if item.differences:
        lines.append("  the published result does NOT agree:")
        lines += [f"    {line}" for text in item.differences for line in wrap(text, WIDTH - 4)]
    elif item.published is None:
        lines.append("  no result is published yet")
    else:
        lines.append("  the published result agrees, in every district")
    return lines


def build_join_json(joined: Joined) -> dict[str, object]:
    """The same for a program."""
    base = joined.base
    return {
        "height": joined.height, "block": joined.digest.hex(),
        "checkpoint": None if base is None else {
            "height": base.height, "block": base.block_digest.hex(),
            "headers": len(base.times_ns), "seals": base.seals,
        },
        "votings": [_build_json(item) for item in joined.recounts],
    }


def _build_json(item: Recount) -> dict[str, object]:
    return {
        "voting": item.count.voting, "stored": len(item.count.ballots),
        "taken_from_checkpoint": item.count.taken, "untimed": item.count.untimed,
        "tallies": item.tallies, "is_published": item.published is not None,
        "agrees": item.agrees, "differences": item.differences,
    }
