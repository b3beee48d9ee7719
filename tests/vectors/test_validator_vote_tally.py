"""Votes on validators after Besu's VoteTally."""

from node.consensus.tally import ValidatorTally


def make_key(number):
    return number.to_bytes(32, "big")


def run(case):
    """Carry out the steps; returns how many expectations held."""
    tally = ValidatorTally(tuple(map(make_key, case["initial"])))
    held = 0
    for step in case["steps"]:
        match step["op"]:
            case "vote":
                by, about = make_key(step["by"]), make_key(step["about"])
                assert step["kind"] in ("add", "drop")
                tally = tally.cast(by, about, is_add=step["kind"] == "add")
            case "epoch_reset":
                tally = tally.discard()
            case "expect":
                expected = tuple(map(make_key, step["validators"]))
                assert tally.validators == expected, case["name"]
                held += 1
            case unknown:
                raise AssertionError(f"unknown step {unknown}")
    return held


def test_votes_are_tallied_as_by_besu(load, is_own_data):
    cases = load("validator_vote_tally")["cases"]
    held = [run(case) for case in cases]
    assert all(held)
    assert (len(cases), sum(held)) == (10, 18) or not is_own_data
