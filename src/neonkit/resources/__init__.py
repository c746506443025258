"""Lists over any `Select`: pages, signed cursors, a white list of orders, search, totals."""

from neonkit._public_names import show_public_names
from neonkit.resources._cursor import CursorPolicy
from neonkit.resources._paginate import Page, PageRequest, paginate
from neonkit.resources._search import search_index

__all__ = ["CursorPolicy", "Page", "PageRequest", "paginate", "search_index"]

show_public_names(__name__)
