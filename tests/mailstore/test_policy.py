from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore import policy
from mailstore.policy import CountedFrom, Layer, Rule, RuleRefused


def rule(folder="*", days=30, counted_from=CountedFrom.ARRIVAL, floor=None, ceiling=None):
    return Rule(
        folder=folder,
        counted_from=counted_from,
        days=days,
        floor_days=floor,
        ceiling_days=ceiling,
    )


def layer(name, *rules):
    return Layer(name=name, rules=rules)


PLAN = layer("the plan", rule("*", None), rule("\\Junk", 30, floor=7), rule("\\Trash", 30))


def decide(folder, *layers):
    return policy.decide(folder=folder, layers=layers)


def test_without_a_rule_nothing_goes():
    decision = decide("INBOX")

    assert decision.days is None
    assert decision.sentence == "Nothing is removed from INBOX: no rule speaks of it."


def test_special_use_goes_before_every_folder():
    assert decide("Junk", PLAN).days == 30
    assert decide("INBOX", PLAN).days is None


def test_name_goes_before_special_use():
    named = layer("the mailbox", rule("\\Junk", 60), rule("Junk", 20))

    assert decide("Junk", PLAN, named).days == 20


def test_last_layer_decides_and_says_so():
    decision = decide("Trash", PLAN, layer("Alder Books", rule("\\Trash", 90)))

    assert decision.days == 90
    assert decision.sentence == (
        "Mail in Trash goes 90 days after it arrived in Trash: Alder Books says so."
    )


def test_a_floor_from_above_holds_though_it_was_set_later():
    decision = decide("Junk", PLAN, layer("alder.test", rule("\\Junk", 3)))

    assert decision.days == 7
    assert decision.sentence == (
        "Mail in Junk goes 7 days after it arrived in Junk: "
        "alder.test says 3 days, within the bounds of the plan."
    )


def test_a_ceiling_ends_for_ever():
    strict = layer("Rowan Hosting", rule("*", 100, ceiling=200))

    assert decide("INBOX", strict, layer("the mailbox", rule("*", None))).days == 200


def test_download_is_told_as_fetching():
    fetched = layer("the plan", rule("\\Inbox", 30, CountedFrom.DOWNLOAD))

    assert "goes 30 days after a program fetched it" in decide("INBOX", fetched).sentence


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (rule("\\Junk", 0), "from 1 to 3650"),
        (rule("\\Junk", -1), "from 1 to 3650"),
        (rule("\\Junk", 3651), "from 1 to 3650"),
        (rule("*", 29), "at least 30 days"),
        (rule("INBOX", 1), "at least 30 days"),
        (rule("\\Nowhere", 30), "no special use"),
        (rule("", 30), "1 to 255"),
        (rule("a\0b", 30), "printable"),
        (rule("x" * 256, 30), "1 to 255"),
        (rule("Work", 40, CountedFrom.DOWNLOAD), "Only the inbox"),
        (rule("Work", 40, floor=50, ceiling=40), "cannot be above"),
        (rule("\\Junk", 3), "The plan asks for at least 7 days"),
        (rule("Junk", 3), "The plan asks for at least 7 days"),
    ],
)
def test_rule_is_refused_with_the_reason(refused, reason):
    with pytest.raises(RuleRefused, match=reason):
        policy.check(refused, above=[PLAN])


def test_rule_above_the_ceiling_is_refused():
    strict = layer("Rowan Hosting", rule("*", 100, ceiling=200))

    for days in (201, None):
        with pytest.raises(RuleRefused, match="Rowan Hosting allows at most 200 days"):
            policy.check(rule("Work", days), above=[strict])


def test_fetched_copies_may_go_after_a_day():
    policy.check(rule("\\Inbox", 1, CountedFrom.DOWNLOAD), above=[])
    policy.check(rule("\\Trash", 1), above=[])


days = st.none() | st.integers(1, 3650)
rules = st.builds(
    rule,
    folder=st.sampled_from(["*", "\\Junk", "Junk", "Work"]),
    days=days,
    floor=days,
    ceiling=days,
)
layers = st.lists(
    st.builds(
        lambda name, found: Layer(name=name, rules=tuple({r.folder: r for r in found}.values())),
        st.sampled_from(["a", "b", "c"]),
        st.lists(rules, max_size=3),
    ),
    max_size=4,
)


@given(layers, st.sampled_from(["Junk", "Work", "INBOX"]))
def test_no_decision_goes_below_a_floor_set_above(found, folder):
    decision = policy.decide(folder=folder, layers=found)

    speaking = [policy._best(folder, one.rules) for one in found]
    above = [one for one in speaking if one is not None][:-1]
    floors = [one.floor_days for one in above if one.floor_days]
    assert decision.days is None or all(decision.days >= floor for floor in floors)
