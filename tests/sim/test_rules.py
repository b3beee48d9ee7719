"""The network's rules."""

from librt.vecs import vec
from mypy_extensions import i32

from sim.links import TABLE
from sim.rules import DROP, PASS, Loss, Partition, RuleSet, SlowLink


def judge(rule, sender: int, receiver: int, chance: int = 0) -> int:
    return rule.judge(sender, receiver, 1_000, chance)


def test_a_single_group_is_cut_off_from_all_others():
    rule = Partition(6, [[0, 1]])
    assert judge(rule, 0, 1) == PASS
    assert judge(rule, 2, 5) == PASS
    assert judge(rule, 0, 2) == DROP
    assert judge(rule, 5, 1) == DROP


def test_peers_in_no_group_are_a_bridge_between_two():
    rule = Partition(5, [[0, 1], [2, 3]])
    assert judge(rule, 0, 2) == DROP
    assert judge(rule, 3, 1) == DROP
    assert judge(rule, 0, 4) == PASS
    assert judge(rule, 4, 3) == PASS


def test_one_way_only_the_first_group_is_not_heard():
    rule = Partition(4, [[0]], one_way=True)
    assert judge(rule, 0, 1) == DROP
    assert judge(rule, 1, 0) == PASS


def test_loss_drops_its_share_of_touched_links_only():
    rule = Loss(4, [1], 0.25)
    dropped = sum(judge(rule, 0, 1, chance) == DROP for chance in range(TABLE))
    assert dropped == TABLE // 4
    assert judge(rule, 1, 0, 0) == DROP
    assert judge(rule, 2, 3, 0) == PASS


def test_a_slow_link_stretches_and_adds():
    rule = SlowLink(4, [1], extra_ns=70, factor=3)
    assert judge(rule, 1, 2) == 2_070
    assert judge(rule, 0, 2) == PASS


def test_a_rule_set_adds_delays_and_one_drop_wins():
    rules = RuleSet(vec[i32](range(TABLE)))
    assert not rules.active
    slow, cut = SlowLink(4, [1], extra_ns=5), Partition(4, [[1]])
    rules.add(slow)
    rules.add(SlowLink(4, [2], extra_ns=7))
    assert rules.judge(1, 2, 0, 0) == 12
    rules.add(cut)
    assert rules.judge(1, 2, 0, 0) == DROP
    rules.remove(cut)
    rules.remove(slow)
    assert rules.judge(1, 2, 0, 0) == 7
    assert rules.active


def test_no_rules_left_means_nobody_asks():
    rules = RuleSet(vec[i32](range(TABLE)))
    rule = Partition(2, [[0]])
    rules.add(rule)
    rules.remove(rule)
    assert not rules.active


def test_two_equal_loss_rules_draw_independently():
    rules = RuleSet(vec[i32](range(TABLE)))
    rules.add(Loss(2, [0], 0.5))
    once = [rules.judge(0, 1, 0, index) == DROP for index in range(TABLE)]
    rules.add(Loss(2, [0], 0.5))
    twice = [rules.judge(0, 1, 0, index) == DROP for index in range(TABLE)]
    assert sum(twice) > sum(once)
