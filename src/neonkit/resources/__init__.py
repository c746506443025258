"""Lists over any `Select`: pages, signed cursors, a white list of orders, search, totals."""

from neonkit.resources._cursor import CursorPolicy
from neonkit.resources._page import Page, PageRequest
from neonkit.resources._paginate import paginate
from neonkit.resources._search import search_index

__all__ = ["CursorPolicy", "Page", "PageRequest", "paginate", "search_index"]
