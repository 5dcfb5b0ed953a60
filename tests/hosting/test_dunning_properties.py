"""Whatever is paid when, and whatever is away: nothing stops before its day, or untold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

from django.conf import settings
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from hosting.dunning.deciding import Move, Owed, Position, decide
from hosting.steps import Action, last_stop

START = date(2028, 2, 1)
DAYS = 160
STEPS = settings.DUNNING_STEPS
BY_DAY = {step.day: step for step in STEPS}

histories = st.lists(
    st.one_of(
        st.tuples(st.just("bill"), st.integers(1, 3000)),
        st.tuples(st.just("pay"), st.integers(1, 4000)),
        st.tuples(st.just("relay"), st.booleans()),
        st.tuples(st.just("worker"), st.booleans()),
        st.tuples(st.just("pause"), st.booleans()),
        st.tuples(st.just("extend"), st.integers(-5, 40)),
        st.tuples(st.just("wait"), st.integers(1, 45)),
    ),
    min_size=3,
    max_size=25,
)


@dataclass
class World:
    """One customer, its bills, the worker and the relay, one day after the other."""

    today: date = START
    bills: list = field(default_factory=list)
    relay: bool = True
    worker: bool = True
    paused: bool = False
    extended: date | None = None
    day: int | None = None
    next_day: int | None = None
    next_on: date | None = None
    written_on: date | None = None
    told_on: date | None = None
    # Every stop by its day, and the first day on which a letter about it had gone out.
    announced: dict = field(default_factory=dict)
    moves: list = field(default_factory=list)

    def act(self, kind, value):
        if kind == "bill":
            self.bills.append([self.today, value])
        elif kind == "pay":
            self.pay(value)
        elif kind == "extend":
            self.extended = self.today + timedelta(days=value)
        elif kind == "pause" and self.paused and not value:
            self.paused, self.next_day, self.next_on = False, None, None
        elif kind == "wait":
            for _ in range(value):
                self.live()
        else:
            setattr(self, {"pause": "paused"}.get(kind, kind), value)

    def pay(self, amount):
        for bill in self.bills:
            used = min(bill[1], amount)
            bill[1] -= used
            amount -= used
        self.bills = [bill for bill in self.bills if bill[1]]

    @property
    def owed(self):
        due = [bill for bill in self.bills if bill[0] <= self.today]
        if not due:
            return None
        counted = max(due[0][0], self.extended or due[0][0])
        return Owed(due_on=counted, is_small=sum(bill[1] for bill in due) < 500)

    @property
    def oldest(self):
        return min((bill[0] for bill in self.bills), default=None)

    def live(self):
        """One day: the relay takes what waits, the worker does what is due, the day is checked."""
        if self.relay and self.told_on is None and self.written_on is not None:
            self.hear()
        for _ in range(5):
            if not self.worker or not self.move():
                break
        if self.worker:
            self.check()
        self.today += timedelta(days=1)

    def hear(self):
        self.told_on = self.today
        if self.next_day is not None:
            self.announced.setdefault(self.next_day, self.today)

    def move(self):
        position = Position(
            day=self.day,
            next_day=self.next_day,
            next_on=self.next_on,
            written_on=self.written_on,
            told_on=self.told_on,
            is_paused=self.paused,
        )
        decision = decide(position, self.owed, steps=STEPS, today=self.today)
        if decision is None or (decision.move is Move.END and self.written_on is None):
            return False
        if decision.move is Move.TAKE:
            self.check_step(decision.day)
        self.moves.append(decision.move)
        self.day = decision.day
        self.next_day = decision.next_step and decision.next_step.day
        self.next_on = decision.next_on
        self.written_on, self.told_on = self.today, None
        if decision.move is Move.END:
            self.written_on, self.announced = None, {}
            self.extended = None
        elif self.relay:
            self.hear()
        return True

    def check_step(self, day):
        """None is skipped, none is early, and each stop was told of so long before."""
        order = [step.day for step in STEPS]
        before = None if self.day is None else order.index(self.day)
        assert order.index(day) == (0 if before is None else before + 1)
        step = BY_DAY[day]
        assert (self.today - self.owed.due_on).days >= day
        if step.action.stops:
            assert self.next_day == day
            assert self.told_on is not None
            assert self.told_on + timedelta(days=step.notice_days) <= self.today
            assert self.next_on <= self.today
            assert not self.paused

    def check(self):
        """What is in force at the end of a day on which the worker looked."""
        stop = last_stop(STEPS, self.day)
        if self.owed is None:
            assert self.day is None
            return
        age = (self.today - self.oldest).days
        least = {s.action: s.day for s in STEPS if s.action.stops}
        if stop.stops:
            assert age >= least[stop]
            assert not self.owed.is_small
        if stop in {Action.PUT_OFF, Action.CLOSE}:
            assert age >= 35
        if self.extended and self.extended > self.today:
            assert not stop.stops


COUNTED = {"histories": 0, "takes": 0, "backs": 0}


@how(max_examples=600, deadline=None)
@given(histories)
def test_incoming_mail_never_stops_before_its_day(history):
    world = World()
    for kind, value in history:
        world.act(kind, value)

    COUNTED["histories"] += 1
    COUNTED["takes"] += world.moves.count(Move.TAKE)
    COUNTED["backs"] += world.moves.count(Move.BACK)


def test_the_histories_reach_what_they_are_about():
    """A property over histories in which nothing happens would prove nothing."""
    world = World()
    for kind, value in [("bill", 1000), ("wait", 45), ("wait", 45), ("pay", 900), ("wait", 1)]:
        world.act(kind, value)

    assert world.moves.count(Move.TAKE) == len(STEPS)
    assert world.moves.count(Move.BACK) == 1


@how(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.integers(0, 60))
def test_a_worker_that_comes_back_goes_on_with_the_next_step_only(away, since):
    world = World()
    world.act("bill", 5000)
    world.act("wait", since + 1)
    day = world.day
    world.today += timedelta(days=away)
    world.live()

    order = [step.day for step in STEPS]
    assert order.index(world.day) - order.index(day) <= 1


@how(max_examples=200, deadline=None)
@given(histories)
def test_paying_all_undoes_everything_on_the_same_day(history):
    world = World()
    for kind, value in history:
        world.act(kind, value)
    world.worker = True
    world.pay(10**9)
    world.live()

    assert world.day is None
    assert world.next_day is None
