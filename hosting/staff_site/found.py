"""What a search found, in words and with addresses of pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import NoReverseMatch, reverse

from hosting import finding


@dataclass(frozen=True, kw_only=True)
class ShownHit:
    """One line: its name, whose it is, how it stands, and where it leads."""

    title: str
    owner: str
    state: str
    url: str


@dataclass(frozen=True, kw_only=True)
class ShownGroup:
    """Lines of one kind; `more_url` is its list with the same search."""

    title: str
    hits: list[ShownHit]
    more_url: str


def shown(groups: Iterable[finding.Group], *, text: str) -> list[ShownGroup]:
    """The groups as the page shows them."""
    return [_group(group, text=text) for group in groups]


def _group(group: finding.Group, *, text: str) -> ShownGroup:
    kind = finding.KINDS[group.kind]
    states = _states(kind.model, kind.state)
    hits = [
        ShownHit(
            title=hit.title,
            owner=hit.owner,
            state=states.get(hit.state, hit.state),
            url=_url(kind.model, "change", hit.key),
        )
        for hit in group.hits
    ]
    list_url = _url(kind.model, "changelist")
    return ShownGroup(
        title=str(kind.model._meta.verbose_name_plural),  # noqa: SLF001  # It is public.
        hits=hits,
        more_url=f"{list_url}?{urlencode({'q': text})}" if group.has_more and list_url else "",
    )


def _states(model: type[Model], field: str) -> Mapping[str, str]:
    choices = model._meta.get_field(field).choices if field else None  # type: ignore[union-attr]  # noqa: SLF001
    return {str(value): str(label) for value, label in choices or ()}


def _url(model: type[Model], page: str, *args: Any) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"  # noqa: SLF001
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""
