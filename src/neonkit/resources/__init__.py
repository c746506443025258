"""Lists over any statement: pages, signed cursors, filters, orders, search, totals."""

from neonkit._public_names import show_public_names
from neonkit.resources._cursor import CursorPolicy
from neonkit.resources._filters import Equal, Filters, IsNull, OneOf, Range
from neonkit.resources._page import Page, PageRequest
from neonkit.resources._paginate import paginate
from neonkit.resources._search import search_index

__all__ = [
    "CursorPolicy",
    "Equal",
    "Filters",
    "IsNull",
    "OneOf",
    "Page",
    "PageRequest",
    "Range",
    "paginate",
    "search_index",
]

show_public_names(__name__)
