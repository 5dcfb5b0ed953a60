"""Whether a rule may be set or taken away: by its bounds, and by what the mailboxes hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mailstore import policy, previewing, retention, rules
from mailstore.engine import Engine
from mailstore.models import Mailbox
from mailstore.previewing import Preview
from mailstore.retention import FolderOutlook

# So many mailboxes are asked what they hold.
MOST_ASKED = 500


def check_rule(
    *,
    target: rules.Target,
    rule: policy.Rule,
    engine: Engine,
    at: datetime,
    is_new_folder: bool = False,
) -> None:
    """Raise `policy.RuleRefused` unless this rule can be set here. Raises `EngineError`.

    Beyond what `rules.check_bounds` says, some mailbox must have the folder, unless the rule is
    meant for one that is yet to come, and no mailbox may lose at once all that it holds.
    """
    rules.check_bounds(target=target, rule=rule)
    trial = rules.trial(target=target, rule=rule)
    names: set[str] = set()
    has_asked = False
    for mailbox, _is_stopped, outlooks in previewing.outlooks_under(
        target, trial=trial, engine=engine, until=at, most=MOST_ASKED
    ):
        has_asked = True
        names.update(found.folder for found in outlooks)
        _refuse_emptying(target, mailbox, outlooks, engine=engine, at=at)
    if has_asked and not is_new_folder:
        _must_know(rule.folder, target=target, names=names)


def compare(
    *,
    target: rules.Target,
    engine: Engine,
    until: datetime,
    rule: policy.Rule | None = None,
    without_folder: str = "",
    is_new_folder: bool = False,
) -> tuple[Preview, Preview]:
    """What goes by the rules as they are, and with a rule or without the one for a folder.

    Raises `policy.RuleRefused` where the bounds or the folder's name are not right; a rule that
    takes everything is shown. Raises `EngineError`.
    """
    trial = None
    if rule is not None:
        rules.check_bounds(target=target, rule=rule)
        trial = rules.trial(target=target, rule=rule)
    elif without_folder:
        trial = rules.trial(target=target, rule=None, folder=without_folder)
    most = previewing.MOST_ASKED
    now, then = (
        previewing.preview(target=target, engine=engine, until=until, trial=each, most=most)
        for each in (None, trial)
    )
    if rule is not None and then.looked_at and not is_new_folder:
        names = {folder.folder for folder in then.folders}
        _must_know(rule.folder, target=target, names=names)
    return now, then


def check_removal(*, target: rules.Target, folder: str, engine: Engine, at: datetime) -> None:
    """The same for taking a rule away, by which those above decide again."""
    trial = rules.trial(target=target, rule=None, folder=folder)
    for mailbox, _is_stopped, outlooks in previewing.outlooks_under(
        target, trial=trial, engine=engine, until=at, most=MOST_ASKED
    ):
        _refuse_emptying(target, mailbox, outlooks, engine=engine, at=at)


def _refuse_emptying(
    target: rules.Target,
    mailbox: Mailbox,
    outlooks: Sequence[FolderOutlook],
    *,
    engine: Engine,
    at: datetime,
) -> None:
    """Raise `rules.WouldRemoveEverything` if this is what leaves nothing of a mailbox.

    One of many that holds nothing but old Junk and Trash, or that is emptied as it is, holds up
    no rule for all.
    """
    if not _is_emptied(outlooks):
        return
    if not isinstance(target, Mailbox):
        if all(policy.is_passing(found.folder) for found in outlooks if found.fates):
            return
        if _is_emptied(retention.outlook(mailbox=mailbox, engine=engine, until=at)):
            return
    going = sum(len(found.fates) for found in outlooks)
    message = (
        f"This would remove all {going} messages of {mailbox} at once. "
        "Choose more days, or remove the messages yourself."
    )
    raise rules.WouldRemoveEverything(message)


def _is_emptied(outlooks: Sequence[FolderOutlook]) -> bool:
    going = sum(len(found.fates) for found in outlooks)
    return 0 < going >= sum(found.state.messages for found in outlooks)


def _must_know(folder: str, *, target: rules.Target, names: set[str]) -> None:
    uses = policy.SPECIAL_USES
    if folder in {policy.EVERY_FOLDER, *names, *uses, *uses.values()}:
        return
    if isinstance(target, Mailbox):
        message = f"{target} has no folder {folder}. It has {', '.join(sorted(names)) or 'none'}."
    else:
        message = f"No mailbox of {target} has a folder {folder}."
    message = f"{message} If it is yet to come, say that it is a new folder."
    raise policy.RuleRefused(message)
