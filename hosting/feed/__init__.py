"""Facts as the outside sees them: the change feed, and the body of every webhook."""

from hosting.feed.catalogue import ENDS, OPERATIONS, PING, TYPES
from hosting.feed.documents import Names, body, document, names
from hosting.feed.reading import MOST_AT_ONCE, FeedPage, find, read

__all__ = [
    "ENDS",
    "MOST_AT_ONCE",
    "OPERATIONS",
    "PING",
    "TYPES",
    "FeedPage",
    "Names",
    "body",
    "document",
    "find",
    "names",
    "read",
]
