"""From genesis to a block without the blocks between: headers, and seals where they decide.

Who may seal a block follows from the votes in the headers before it. So a trail has the headers
from genesis on, each naming its parent, with seals wherever the validators change, at each
epoch's end, and at the last: a quorum of those whom genesis names vouches for all headers up to
the first change, hence for whom it brings in, and so on. An epoch's end clears the pending
votes. So an epoch whose end is sealed by the validators with whom it began stands in the trail
by that one header: a quorum of them seals at a height only if they are the validators there.

What a trail proves is that the block at its end was sealed by those who might. That they had
executed all blocks before it as the rules say is theirs to answer for.
"""

from collections.abc import Iterable, Iterator

from node.block import Block, Header, make_block, make_genesis_block
from node.consensus.authorities import Authorities, make_authorities
from node.consensus.seals import verify_seals
from node.errors import InvalidBlock
from node.params import Genesis
from node.state import EMPTY_STATE
from node.validation import verify_header
from node.work import Work


class TrailWalk:
    """Follows a trail from genesis, one header after another.

    ``last`` is the header that was taken last, ``authorities`` are those after it,
    ``is_sealed`` says whether all up to it is vouched for, ``seals`` how many were checked.
    """

    __slots__ = ("_genesis", "_work", "authorities", "is_sealed", "last", "seals")

    def __init__(self, genesis: Genesis) -> None:
        self._genesis = genesis
        self._work = Work()
        self.last: Header = make_genesis_block(genesis, EMPTY_STATE.root).header
        self.authorities: Authorities = make_authorities(genesis)
        self.is_sealed = True
        self.seals = 0

    def take(self, block: Block) -> None:
        """Go on to ``block``, a header with the seals it has, if any. Raises InvalidBlock."""
        header, before = block.header, self.authorities
        if header.height == self.last.height + 1:
            verify_header(header, self.last, before.validators, self._genesis)
        else:
            self._verify_leap(header)
        after = before.apply(header)
        # also each epoch's end, or a forged file could go on unsealed for as long as it likes
        is_end = header.height % self._genesis.params.epoch_blocks == 0
        is_decisive = is_end or after.validators != before.validators
        if block.seals or is_decisive:
            self.seals += verify_seals(block, before.validators, self._work.check_signature)
        self.is_sealed = bool(block.seals)
        self.last, self.authorities = header, after

    def _verify_leap(self, header: Header) -> None:
        """To the end of an epoch, from the end of another or genesis, with no vote pending."""
        epoch = self._genesis.params.epoch_blocks
        if (
            header.height <= self.last.height or header.height % epoch
            or self.last.height % epoch or not self.is_sealed
        ):
            raise InvalidBlock("height in the trail", self.last.height + 1, header.height)
        assert not self.authorities.tally.ballots, "an epoch's end clears them"
        if header.chain_id != self.last.chain_id:
            raise InvalidBlock("wrong chain", self.last.chain_id.hex(), header.chain_id.hex())
        if header.validators != self.authorities.validators:
            raise InvalidBlock("validators", len(self.authorities.validators),
                               len(header.validators))


def build_trail(genesis: Genesis, blocks: Iterable[Block]) -> Iterator[Block]:
    """The trail to the last of ``blocks``, which are all from 1 on, or a trail and those after.

    Its items are blocks without bundles, and without those seals that decide nothing.
    """
    epoch_blocks = genesis.params.epoch_blocks
    authorities = make_authorities(genesis)
    first_validators = authorities.validators
    epoch: list[Block] = []
    last: Block | None = None
    for last in blocks:
        header = last.header
        after = authorities.apply(header)
        is_end = header.height % epoch_blocks == 0
        is_decisive = is_end or after.validators != authorities.validators
        epoch.append(strip(last) if is_decisive else make_block(header, 0, (), ()))
        authorities = after
        if is_end:
            yield from epoch[-1:] if header.validators == first_validators else epoch
            first_validators = after.validators
            epoch = []
    if epoch:
        assert last is not None
        yield from epoch[:-1]
        yield strip(last)


def strip(block: Block) -> Block:
    """``block`` with its seals and without its bundles."""
    return make_block(block.header, block.round, block.seals, ())
