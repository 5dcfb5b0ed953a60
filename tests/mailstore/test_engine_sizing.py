"""Sizes of many mailboxes: in few requests, and without the one that ends a request."""

from __future__ import annotations

from mailstore.engine import OutcomeUnknown, Size, sizing


class API:
    """An admin API whose worker dies of one mailbox, and which does not know another."""

    def __init__(self):
        self.asked = []

    def call_each(self, commands):
        users = [given["user"] for _command, given in commands]
        self.asked.append(len(users))
        if "deadly" in users:
            raise OutcomeUnknown
        return [None if user == "unknown" else [{"vsize": "10", "messages": "2"}] for user in users]


def test_a_hundred_are_asked_about_at_once():
    api = API()

    found = sizing.sizes(api, [f"m{number}" for number in range(250)])

    assert api.asked == [100, 100, 50]
    assert len(found) == 250
    assert found["m7"] == Size(bytes=10, messages=2)


def test_who_ends_a_request_is_left_out_alone():
    users = ["a", "b", "deadly", "c", "unknown"]

    assert set(sizing.sizes(API(), users)) == {"a", "b", "c"}
