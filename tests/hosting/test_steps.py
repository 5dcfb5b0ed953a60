from __future__ import annotations

import pytest
from django.conf import settings

from accounts.models import SWITCHES as WAYS
from hosting import steps
from hosting.steps import Action, Step


def test_the_steps_of_the_house_are_those_of_its_terms():
    found = [(step.day, step.action) for step in settings.DUNNING_STEPS if step.action.stops]

    assert found == [
        (14, Action.LIMIT),
        (21, Action.READ_ONLY),
        (35, Action.PUT_OFF),
        (60, Action.CLOSE),
    ]


def test_steps_are_read_from_text():
    assert steps.parse("0 mail 0, 14 limit 7") == (
        Step(0, Action.MAIL, 0),
        Step(14, Action.LIMIT, 7),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail",
        "0 mail",
        "x mail 0",
        "0 mail x",
        "0 destroy 0",
        "-1 mail 0",
        "0 mail -1",
        "0 mail 0, 0 mail 0",
        "3 mail 0, 1 mail 0",
        "0 limit 7",
        "0 mail 0, 14 limit 0",
        "0 mail 0, 21 read-only 7",
        "0 mail 0, 14 limit 7, 21 put-off 7",
        "0 mail 0, 14 limit 7, 15 limit 7",
        "0 mail 0, 14 put-off 7, 21 limit 7, 35 read-only 7",
    ],
)
def test_steps_that_make_no_sense_are_refused(text):
    with pytest.raises(steps.StepsRefused):
        steps.parse(text)


def test_receiving_stops_after_everything_else_and_gets_no_better_later():
    for name, ways in WAYS.items():
        levels = [ways.index(steps.SWITCHES[action].get(name, ways[0])) for action in Action]
        assert levels == sorted(levels)
    first = {name: next((a for a in Action if steps.SWITCHES[a].get(name)), None) for name in WAYS}
    order = list(Action)
    assert order.index(first["sending"]) < order.index(first["sign_in"])
    assert order.index(first["sign_in"]) < order.index(first["receiving"])
    assert order.index(first["receiving"]) < order.index(first["receiving_below"])
    assert all(steps.SWITCHES[a].get("sign_in") != "shut" for a in Action)


@pytest.mark.parametrize(
    ("day", "stop"), [(None, "mail"), (0, "mail"), (7, "mail"), (14, "limit"), (46, "put-off")]
)
def test_what_is_in_force_is_the_last_stop(day, stop):
    assert steps.last_stop(settings.DUNNING_STEPS, day) == stop


def test_after_the_last_step_none_follows():
    assert steps.following(settings.DUNNING_STEPS, 60) is None
    assert steps.following(settings.DUNNING_STEPS, None) == settings.DUNNING_STEPS[0]
