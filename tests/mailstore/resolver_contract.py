"""What every resolver must do: the in-memory twin and the DNS client pass the same tests."""

from __future__ import annotations

import pytest

from mailstore.resolver import NoAnswer

NOWHERE = "nowhere.rowan.test"


class ResolverContract:
    """A subclass gives `system`: `resolver`, `hold(name, kind, value)` and `fall_silent()`."""

    def test_texts_of_a_name_are_all_found(self, system):
        system.hold("rowan.test", "TXT", "v=spf1 -all")
        system.hold("rowan.test", "TXT", "panel-proof=one")

        assert sorted(system.resolver.texts("rowan.test")) == ["panel-proof=one", "v=spf1 -all"]

    def test_long_text_is_one_text(self, system):
        system.hold("long.rowan.test", "TXT", "x" * 300)

        assert system.resolver.texts("long.rowan.test") == ("x" * 300,)

    def test_texts_below_a_name_are_asked_for_by_their_own(self, system):
        system.hold("_panel-proof.panel.rowan.test", "TXT", "one")

        assert system.resolver.texts("_panel-proof.panel.rowan.test") == ("one",)
        assert system.resolver.texts("panel.rowan.test") == ()

    def test_alias_is_told_in_lower_case_without_the_last_dot(self, system):
        system.hold("panel.rowan.test", "CNAME", "Panel.House.test")

        assert system.resolver.alias("panel.rowan.test") == "panel.house.test"

    def test_name_with_addresses_has_no_alias(self, system):
        system.hold("panel.house.test", "A", "192.0.2.7")

        assert system.resolver.alias("panel.house.test") == ""

    def test_addresses_of_both_kinds_are_told(self, system):
        system.hold("panel.house.test", "A", "192.0.2.7")
        system.hold("panel.house.test", "AAAA", "2001:db8::7")

        assert system.resolver.addresses("panel.house.test") == {"192.0.2.7", "2001:db8::7"}

    def test_addresses_of_an_alias_are_those_of_its_target(self, system):
        system.hold("panel.house.test", "A", "192.0.2.7")
        system.hold("panel.rowan.test", "CNAME", "panel.house.test")

        assert system.resolver.addresses("panel.rowan.test") == {"192.0.2.7"}

    def test_name_is_found_however_it_is_written(self, system):
        system.hold("rowan.test", "TXT", "one")

        assert system.resolver.texts("RoWaN.test") == ("one",)

    @pytest.mark.parametrize(
        ("question", "nothing"),
        [("texts", ()), ("alias", ""), ("addresses", frozenset()), ("exchanges", ())],
    )
    def test_name_that_is_nowhere_holds_nothing(self, system, question, nothing):
        assert getattr(system.resolver, question)(NOWHERE) == nothing

    @pytest.mark.parametrize("question", ["texts", "alias", "addresses", "exchanges"])
    def test_silence_is_no_answer(self, system, question):
        system.fall_silent()

        with pytest.raises(NoAnswer, match=r"nowhere\.rowan\.test"):
            getattr(system.resolver, question)(NOWHERE)

    def test_exchanges_come_in_the_order_in_which_they_are_tried(self, system):
        system.hold("rowan.test", "MX", "20 Backup.House.test.")
        system.hold("rowan.test", "MX", "10 mx.house.test.")

        assert system.resolver.exchanges("rowan.test") == (
            (10, "mx.house.test"),
            (20, "backup.house.test"),
        )

    def test_exchanges_of_an_alias_are_those_of_its_target(self, system):
        system.hold("post.rowan.test", "CNAME", "rowan.test")
        system.hold("rowan.test", "MX", "10 mx.house.test.")

        assert system.resolver.exchanges("post.rowan.test") == ((10, "mx.house.test"),)

    def test_exchange_that_takes_no_mail_has_no_host(self, system):
        system.hold("rowan.test", "MX", "0 .")

        assert [exchange.host for exchange in system.resolver.exchanges("rowan.test")] == [""]
