"""The panel with the reference views of the API bench beside its own."""

from hosting.settings import *  # noqa: F403

ROOT_URLCONF = "bench.api_reference"
# How fast it is, not how often one may ask, is the question.
RATE_LIMIT_KEY_PER_MINUTE = 10**9
RATE_LIMIT_ORGANISATION_PER_MINUTE = 10**9
RATE_LIMIT_PAGES_PER_MINUTE = 10**9
