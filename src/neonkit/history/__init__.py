"""What a start asks: whose an app's migrations are, which is the newest, what a database lacks.

What a revision file says of itself is read, and none is run: a start needs no Alembic.
"""

from neonkit._public_names import show_public_names
from neonkit.history._folders import History, find_history
from neonkit.history._heads import check_head, one_head
from neonkit.history._names import missing_names

__all__ = ["History", "check_head", "find_history", "missing_names", "one_head"]

show_public_names(__name__)
