"""What all staff pages share: pages by key, CSV, no deleting, and a named actor for every act."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import Max, Min, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.views.decorators.http import require_safe

from accounts import alone, arriving, membership
from accounts.access import Actor, Door
from accounts.models import User

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    StackedInline = admin.StackedInline[Any, Any]
else:
    ModelAdmin = admin.ModelAdmin
    StackedInline = admin.StackedInline

# The key of the row after which, or before which, a page begins.
AFTER, BEFORE = "after", "before"
_HIGHEST_KEY = 2**63 - 1
# So many digits fit into a key whatever they are.
_LONGEST_KEY = 18

# A spreadsheet takes a cell that begins so for a formula, and runs it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class KeysetChangeList(ChangeList):
    """A list, newest first, that finds its pages by key: no counting and no skipping over rows.

    The cost of a page does not depend on how many rows there are or how far down it lies.
    """

    previous_url = ""
    next_url = ""
    # So many rows are looked at for one page; the next one goes on from there.
    looks_through = 100_000
    # Whether the next page is a further look, rather than what did not fit.
    goes_further = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A list is called what it lists, whoever may change it.
        self.title = capfirst(str(self.opts.verbose_name_plural))

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return ["-pk"]

    def get_filters(self, request: HttpRequest) -> Any:
        """The cursor is no filter, and another filter begins at the first page again."""
        for name in (AFTER, BEFORE):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_filters(request)

    def get_results(self, request: HttpRequest) -> None:
        """Take one row more than the page shows, to know whether another page follows."""
        after, before = _key(request, AFTER), _key(request, BEFORE)
        try:
            rows = self._newer(before) if before is not None else self._older(after)
        except (ValueError, OverflowError, DataError) as error:
            # Some values pass for a number or a date until the database is asked about them.
            raise IncorrectLookupParameters from error
        if before is None and after is not None:
            self.previous_url = self._url(BEFORE, rows[0].pk if rows else max(0, after - 1))
        if before is not None and rows:
            self.next_url = self._url(AFTER, rows[-1].pk)
        cast("StaffAdmin", self.model_admin).complete(rows)
        self.result_list = cast("QuerySet[Any]", rows)
        self.result_count = len(rows)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = False

    def _older(self, after: int | None) -> list[Any]:
        """The first rows of those below a key, or of all."""
        size, below = self.list_per_page, self.queryset
        if after is not None:
            below = below.filter(pk__lt=after)
        floor = self._reach(after, "-pk", Min) if self.is_searching else None
        if floor is not None:
            below = below.filter(pk__gte=floor)
        rows = list(below[: size + 1])
        if len(rows) > size:
            self.next_url = self._url(AFTER, rows[size - 1].pk)
        elif floor is not None and self.root_queryset.filter(pk__lt=floor).exists():
            self.next_url, self.goes_further = self._url(AFTER, floor), True
        return rows[:size]

    def _newer(self, before: int) -> list[Any]:
        """The last rows of those above a key."""
        size, above = self.list_per_page, self.queryset.filter(pk__gt=before)
        ceiling = self._reach(before, "pk", Max) if self.is_searching else None
        if ceiling is not None:
            above = above.filter(pk__lte=ceiling)
        rows = list(above.order_by("pk")[: size + 1])
        if len(rows) > size:
            self.previous_url = self._url(BEFORE, rows[size - 1].pk)
        elif ceiling is not None and self.root_queryset.filter(pk__gt=ceiling).exists():
            self.previous_url = self._url(BEFORE, ceiling)
        if not rows:
            self.next_url = self._url(AFTER, before + 1)
        return rows[:size][::-1]

    @property
    def is_searching(self) -> bool:
        """Whether rows have to be read that do not match, since no index leads to those that do."""
        page = cast("StaffAdmin", self.model_admin)
        if self.query:
            return not page.searches_by_index
        return not set(self.filter_params) <= page.indexed_filters

    def _reach(self, start: int | None, order: str, last: type[Min | Max]) -> int | None:
        """The key of the last row that one page looks at, however few of them match."""
        rows = self.root_queryset.order_by(order)
        if start is not None:
            rows = rows.filter(**{"pk__lt" if order == "-pk" else "pk__gt": start})
        reached = rows.values("pk")[: self.looks_through].aggregate(last=last("pk"))
        return cast("int | None", reached["last"])

    def _url(self, name: str, key: int) -> str:
        return self.get_query_string({name: key})


def _key(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name)
    if text is None:
        return None
    digits = text.lstrip("0")[:20] or "0"
    if not (text.isascii() and text.isdigit()) or int(digits) > _HIGHEST_KEY:
        raise IncorrectLookupParameters
    return int(digits)


def is_key(text: str) -> bool:
    """Whether this can be the key of a row, which everywhere on these pages is a number."""
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_KEY


class Chooser(AutocompleteSelect):
    """Suggestions while one types; what was sent and is no key stays out of the page's query."""

    def optgroups(self, name: str, value: Sequence[str], attrs: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if is_key(str(key))], attrs)


class StaffAdmin(ModelAdmin):
    """Nothing is deleted here, and whatever changes goes through a verb or leaves an event."""

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    # What can be taken away as CSV, with the filters and the search that are on: names of
    # fields, or of what they lead to, such as `organisation__name`.
    csv_columns: Sequence[str] = ()
    # Filters whose rows an index holds, by their names in the address.
    indexed_filters: AbstractSet[str] = frozenset()
    # Whether an index leads to what the search finds.
    searches_by_index = False

    def actor(self, request: HttpRequest) -> Actor:
        """The signed-in member of staff."""
        origin = arriving.origin_of(request, door=Door.STAFF)
        return membership.actor_for(cast("User", request.user), origin=origin)

    def counted_as(self, request: HttpRequest) -> str:
        """Who changes what, for `accounts.alone`: every action on this list counts together."""
        return f"{request.user.pk} {self.opts.label_lower}"

    def complete(self, rows: list[Any]) -> None:
        """Add to the rows of one page what their own table does not hold."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-pk",)

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        per_page: int,
        orphans: int = 0,
        allow_empty_first_page: bool = True,  # noqa: FBT001, FBT002  # Django's signature
    ) -> Paginator[Any]:
        """The newest ones only, for suggestions and histories: typing more narrows them down."""
        newest = list(queryset.order_by("-pk")[:per_page])
        return Paginator(newest, per_page, orphans, allow_empty_first_page)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Rows that are found by typing are chosen with what no odd value breaks."""
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", Chooser(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """No patterns in addresses, which can be wrong or slow and which nothing here writes."""
        if lookup.endswith(("__regex", "__iregex")):
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """None also for a number that no key can be, which a key of another table lets through."""
        try:
            return super().get_object(request, object_id, from_field)
        except (OverflowError, DataError):
            return None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What is not on the page cannot be acted upon: nobody would have seen it."""
        if request.method == "POST":
            choices = request.POST.copy()
            choices.pop("select_across", None)
            ticked = [key for key in choices.getlist(ACTION_CHECKBOX_NAME) if is_key(key)]
            choices.setlist(ACTION_CHECKBOX_NAME, ticked)
            request.POST = choices  # type: ignore[assignment]  # Django lets a view replace it
        return super().changelist_view(request, extra_context)

    def for_each(
        self,
        request: HttpRequest,
        rows: Iterable[Any],
        verb: Callable[[Any], object],
        *,
        refusals: tuple[type[Exception], ...],
        done_text: str,
    ) -> None:
        """Call the verb for each row; one that refuses is named and does not stop the rest.

        Of more rows than one person changes alone, none is touched.
        """
        chosen, count = list(rows), 0
        try:
            alone.take(who=self.counted_as(request), count=len(chosen), at=timezone.now())
        except alone.TooMany as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return
        for row in chosen:
            try:
                verb(row)
            except refusals as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                count += 1
        if count:
            self.message_user(request, done_text % {"count": count}, messages.SUCCESS)

    def csv_rows(self, rows: list[Any]) -> Iterable[Sequence[object]]:
        """The cells of each row, in the order of `csv_columns`; never one query a row."""
        return ([_cell(row, column) for column in self.csv_columns] for row in rows)

    def get_urls(self) -> list[URLPattern]:
        if not self.csv_columns:
            return super().get_urls()
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        view = self.admin_site.admin_view(require_safe(self.export_view))
        return [path("export/", view, name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The whole list, sent while it is read."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        try:
            change_list = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return self._back_to_list(f"?{ERROR_FLAG}=1")
        name = f"{self.opts.model_name}-list.csv"
        return StreamingHttpResponse(
            self._csv(change_list.queryset),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _csv(self, queryset: QuerySet[Any]) -> Iterator[str]:
        yield csv_line(self.csv_columns)
        for rows in by_key(queryset):
            yield "".join(csv_line(cells) for cells in self.csv_rows(rows))

    def _back_to_list(self, query: str = "") -> HttpResponse:
        where = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        return HttpResponseRedirect(reverse(where) + query)


class ReadOnlyAdmin(StaffAdmin):
    """Rows that only the house itself writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def by_key(queryset: QuerySet[Any], *, size: int = 1000) -> Iterator[list[Any]]:
    """All rows in pieces, newest first, without holding a cursor open in the database."""
    ordered = queryset.order_by("-pk")
    rows = list(ordered[:size])
    while rows:
        yield rows
        rows = list(ordered.filter(pk__lt=rows[-1].pk)[:size])


def _cell(row: Any, column: str) -> object:
    for name in column.split("__"):
        if row is None:
            return ""
        row = getattr(row, name)
    if isinstance(row, datetime):
        return row.isoformat()
    if isinstance(row, dict):
        return json.dumps(row, ensure_ascii=False, sort_keys=True)
    return "" if row is None else row


class _Line:
    """A file that gives back what is written into it."""

    def write(self, text: str) -> str:
        return text


_WRITER = csv.writer(_Line(), quoting=csv.QUOTE_ALL)


def csv_line(cells: Sequence[object]) -> str:
    """One line of CSV, every cell quoted and none of them a formula; numbers stay numbers."""
    return cast("str", _WRITER.writerow([_text_of(cell) for cell in cells]))


def _text_of(cell: object) -> str:
    # A number below zero begins like a formula, and is none.
    return f"{cell:f}" if isinstance(cell, Decimal) else _harmless(str(cell))


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
