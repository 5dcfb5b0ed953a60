"""Who owes what, and who paid what: posted once, taken back by a mirror only."""

from hosting.ledger.matching import (
    NotMatched,
    assign,
    match,
    release,
    settle,
    settle_all,
)
from hosting.ledger.posting import (
    AlreadyRecorded,
    LedgerRefused,
    enter,
    lock_customer,
    lock_seller,
    receive,
    take_back,
)
from hosting.ledger.reading import Balance, balance_minor, balances, open_minor
from hosting.ledger.settling import credit, pay_back, take_in_again, write_off
from hosting.ledger.taking import take, take_back_whole

__all__ = [
    "AlreadyRecorded",
    "Balance",
    "LedgerRefused",
    "NotMatched",
    "assign",
    "balance_minor",
    "balances",
    "credit",
    "enter",
    "lock_customer",
    "lock_seller",
    "match",
    "open_minor",
    "pay_back",
    "receive",
    "release",
    "settle",
    "settle_all",
    "take",
    "take_back",
    "take_back_whole",
    "take_in_again",
    "write_off",
]
