"""The fairs' window as people live it: applicants, the office, and the judge of the season."""

from functools import partial

import numpy as np

from node.crypto import Identity
from node.services import fairs
from sim.applicants import Applicants, SeasonRules, get_application_factory
from sim.arrivals import draw_arrivals
from sim.crowd import LEAD_NS, Crowd
from sim.electorate import Rows
from sim.fairs_auditor import FairsAuditor
from sim.fairs_day import FairsDay, make_visitors
from sim.hosted import HostedCity
from sim.inversions import count_inversions
from sim.metrics import Metrics
from sim.office import Office
from sim.place_proofs import judge_proofs
from sim.result import InvariantOutcome
from sim.season_office import make_season_script
from sim.signing import SignedStore
from sim.streams import Streams
from sim.times import SECOND_NS
from sim.workers import open_crew
from sim.workload import StallWindow

SECOND_THOUGHTS_MEDIAN_NS = 180 * SECOND_NS
PROOFS_MAX = 20


def make_stall_window(
    *, city: HostedCity, workload: StallWindow, users: int, seed: int, chief: Identity,
    streams: Streams, midnight_ns: int, workers: int,
) -> FairsDay:
    """The people of a stalls' window, ready to start."""
    arrivals = draw_arrivals(workload, users, streams, midnight_ns)
    closes_ns = arrivals.closes_ns
    rules = SeasonRules(
        seed=seed, users=users, chain_id=city.chain_id, sites=workload.sites,
        periods=workload.periods, places=workload.places,
    )
    applicants = Applicants(rules)
    visitors = make_visitors(
        city=city, slots=applicants.slots, intended_ns=arrivals.moments_ns,
        crew=open_crew(get_application_factory(rules), workers),
        key=rules.derive_key(b"relay"), reads_per_user=workload.reads_per_user,
        prepare=lambda slots, now_ns: None,
    )
    crowd = visitors.crowd
    apply_again(crowd, streams("second thoughts"), closes_ns)
    script = make_season_script(
        applicants, arrivals.opens_ns, closes_ns,
        lambda now_ns: now_ns >= closes_ns + city.params.block_interval_ns and crowd.is_done,
    )
    return FairsDay(
        city=city, visitors=visitors, subject="application",
        office=Office(city=city, chief=chief, script=script), opens_ns=arrivals.opens_ns,
        closes_ns=closes_ns, judge=lambda metrics: judge_season(
            city, applicants, crowd, visitors.store, metrics
        ),
    )


def apply_again(crowd: Crowd, stream: np.random.Generator, closes_ns: int) -> None:
    """Who wants two sites files for the second some minutes after the first is confirmed."""

    def upon_seen(slots: Rows, seen_ns: Rows) -> None:
        firsts = slots < crowd.slots.users
        second = crowd.slots.seconds_of(slots[firsts])
        wanting = second >= 0
        drawn = stream.lognormal(np.log(SECOND_THOUGHTS_MEDIAN_NS), 0.7, int(wanting.sum()))
        intended_ns = seen_ns[firsts][wanting] + LEAD_NS + drawn.astype(np.int64)
        in_time = intended_ns < closes_ns
        crowd.plan(second[wanting][in_time], intended_ns[in_time])

    crowd.upon_seen = upon_seen


def judge_season(
    city: HostedCity, applicants: Applicants, crowd: Crowd, store: SignedStore, metrics: Metrics
) -> tuple[InvariantOutcome, ...]:
    """Fill in the fairs' metrics; the season's invariants."""
    rules, columns = applicants.rules, crowd.columns
    auditor = FairsAuditor(applicants, columns, store.keys, city.read_final_state())
    audit = auditor.audit()
    groups, slots = auditor.list_wishes()
    inversions = count_inversions(groups, columns.intended_ns[slots], columns.sequence[slots])
    metrics.put("fairs.places.count", rules.places * rules.periods)
    metrics.put("fairs.applications.count", audit.applications)
    metrics.put("fairs.allocated.count", audit.granted)
    metrics.put("fairs.waiting.count", audit.waiting)
    metrics.put("fairs.inversions.count", inversions.inverted)
    metrics.put("fairs.inversions.ratio", inversions.ratio)
    metrics.put("fairs.double.count", audit.double)
    metrics.count("lost.count", audit.lost)  # beside what the crowd never heard of again
    metrics.put("double.count", audit.doubled)
    metrics.put("auditor.mismatch.count", audit.mismatches)
    chosen = list(audit.places.items())
    chosen = chosen[:: max(1, len(chosen) // PROOFS_MAX)]
    wanted = [
        (fairs.make_place_key(rules.season, *place), partial(_says, holder))
        for place, holder in chosen
    ]
    # that a place is nobody's can be proven too
    nowhere = fairs.make_place_key(rules.season, rules.sites, 0, 0)
    return (*audit.describe(), judge_proofs(city, [*wanted, (nowhere, partial(_says, None))]))


def _says(holder: fairs.Holder | None, record: bytes | None) -> bool:
    return holder == (None if record is None else fairs.unpack_holder(record))
