"""A box for networks, one a line."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts import keys

_LONGEST = 5000


class NetworksField(forms.CharField):
    """Gives addresses and networks in their one spelling; nothing typed stands for everywhere."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", _("Only from these addresses"))
        super().__init__(
            required=False,
            max_length=_LONGEST,
            widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
            help_text=_(
                "IP addresses or networks such as 192.0.2.0/24, one a line. Empty: from anywhere."
            ),
            **options,
        )

    def prepare_value(self, value: Any) -> Any:
        """A list is shown as it is typed."""
        return value if value is None or isinstance(value, str) else "\n".join(value)

    def clean(self, value: Any) -> Any:
        """A list of networks."""
        words = re.split(r"[\s,;]+", super().clean(value))
        try:
            return keys.canonical_networks(word for word in words if word)
        except keys.BadNetwork as refusal:
            raise ValidationError(str(refusal), code="bad_network") from refusal
