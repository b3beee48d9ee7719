"""A citizen's own count of an election, from the blocks of a chain.

The chain is executed anew from genesis, which tells what transactions took effect; all that
follows is counted here, with none of the election's own records: whose ballot was last, which
box opens to what, how much that makes. The secret is put together from the holders' shares and
believed only if it belongs to the voting's public key. Last, the sums are held against what was
published. From a checkpoint it begins with the election's records at that block
(``node.host.census``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from node.block import decode_block
from node.bundle import decode_bundle
from node.chain import Chain
from node.host.census import read_counts
from node.host.checkpoint import Checkpoint
from node.host.count import PLAIN_BYTES, SPOILT, Ballot, Count
from node.receipt import OK
from node.services import election
from node.transaction import Transaction
from node.types import KEY_BYTES
from node.work import Work


@dataclass(frozen=True, slots=True)
class Recount:
    """One voting's own count beside what was published, which is None before there is any."""

    count: Count
    tallies: tuple[tuple[int, ...], ...]
    published: election.Result | None
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether a result is published, and it is what was counted here."""
        return self.published is not None and not self.differences


def recount(
    chain: Chain, work: Work | None = None, on_block: Callable[[int], None] | None = None,
    base: Checkpoint | None = None,
) -> list[Recount]:
    """Count every voting in ``chain``, in the order of their numbers.

    ``work`` may know signatures that were checked when the blocks came. ``on_block`` hears each
    height. ``base`` is where to begin, if not at genesis. Raises InvalidBlock if the chain
    itself does not hold.
    """
    counts: dict[int, Count] = {}
    replayed = Chain(chain.genesis)
    if base is not None:
        replayed, counts = base.begin(chain.genesis), read_counts(base.state, base.times_ns)
    assert chain.first <= replayed.height + 1, "all blocks from there on are here"
    for time_ns, transaction in replay(chain, replayed, work or Work(), on_block):
        read_transaction(counts, transaction, time_ns)
    assert replayed.head.digest == chain.head.digest
    return [
        judge(counts[voting], election.get_result(replayed.state, voting))
        for voting in sorted(counts)
    ]


def replay(
    chain: Chain, replayed: Chain, work: Work, on_block: Callable[[int], None] | None
) -> Iterator[tuple[int, Transaction]]:
    """The transactions that took effect, in order, each with the time of its block."""
    params = chain.genesis.params
    for height in range(replayed.height + 1, chain.height + 1):
        encoded = chain.get_encoded(height)
        block = decode_block(encoded, params)
        step = replayed.plan_step(encoded, block, work)
        replayed.take(step)
        for item, outcome in zip(block.bundles, step.output.outcomes, strict=True):
            bundle = work.once(decode_bundle, item, item, params)
            for transaction, (_, status) in zip(bundle.transactions, outcome, strict=True):
                if status == OK:
                    yield block.header.time_ns, transaction
        if on_block is not None:
            on_block(height)


def read_transaction(counts: dict[int, Count], transaction: Transaction, time_ns: int) -> None:
    """Note what one transaction, which took effect, says about a voting."""
    match transaction.kind, transaction.payload:
        case election.CREATE_VOTING, [
            int(voting), int(districts), int(choices), int(open_ns), int(close_ns),
            int(grace_ns), _, int(threshold), bytes(box_public),
        ]:
            counts[voting] = Count(
                voting=voting, districts=districts, choices=choices, open_ns=open_ns,
                deadline_ns=close_ns + grace_ns, threshold=threshold, box_public=box_public,
            )
        case election.ADD_VOTER_KEYS, [int(voting), bytes(keys), _, bytes(commitments)]:
            known = counts[voting].commitments
            for key, commitment in zip(split(keys), split(commitments), strict=True):
                known.setdefault(key, set()).add(commitment)
        case election.STORE_BALLOT, [
            int(voting), int(district), bytes(box_public), bytes(nonce), bytes(box),
        ]:
            count = counts[voting]
            ballot = Ballot(len(count.ballots), district, box_public, nonce, box)
            count.add_ballot(transaction.sender, ballot, time_ns)
        case election.PUBLISH_SHARE, [int(voting), int(index), bytes(share)]:
            counts[voting].add_share(index, share)
        case election.RESOLVE_REVOTES, [int(voting), list(groups)]:
            for group in groups:
                match group:
                    case [bytes(group_secret), bytes(keys)]:
                        counts[voting].resolve(group_secret, split(keys))
        case election.DECRYPT_BALLOTS, [int(voting), bytes(keys), bytes(plains)]:
            for key, claim in zip(split(keys), split(plains, PLAIN_BYTES), strict=True):
                counts[voting].check_claim(key, claim)


def split(packed: bytes, size: int = KEY_BYTES) -> list[bytes]:
    """Items of ``size`` bytes that stand one after another."""
    return [packed[at : at + size] for at in range(0, len(packed), size)]


def judge(count: Count, published: election.Result | None) -> Recount:
    """Hold a published result, if there is one, against ``count``."""
    if not count.secret:
        reason = ("a result without the key that opens the ballots",) if published else ()
        return Recount(count, (), published, reason)
    tallies = count.sum_up()
    differences = list(count.findings)
    if published is not None:
        standing = published.counters
        spoiled = sum(tally[SPOILT] for tally in tallies)
        mine = {
            "stored": len(count.ballots),
            "superseded": sum(ballot.is_superseded for ballot in count.ballots.values()),
            "decrypted": sum(map(sum, tallies)) - spoiled,
            "spoiled": spoiled,
        }
        for name, number in mine.items():
            if getattr(standing, name) != number:
                differences.append(f"{name}: published {getattr(standing, name)}, {number}")
        for district, (theirs, own) in enumerate(
            zip(published.tallies, tallies, strict=False), 1
        ):
            if theirs != own:
                differences.append(f"district {district}: published {theirs}, counted {own}")
        if len(published.tallies) != len(tallies):
            differences.append(f"districts: published {len(published.tallies)}, {len(tallies)}")
        if sum(map(sum, tallies)) > standing.issued:
            differences.append(f"more ballots count than the {standing.issued} issued")
    return Recount(count, tallies, published, tuple(differences))
