"""Which statements are plain reads: they see the same with a transaction around them or without.

Under READ COMMITTED each statement has a snapshot of its own, so a plain read needs no BEGIN. The
verdict is reached on the SQL that is sent, and what is not known to be harmless is not plain.
"""

import re
from collections.abc import Collection
from weakref import WeakKeyDictionary

from sqlalchemy import CompoundSelect, Select, Table
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import Compiled

from neonkit.db._wire.estimates import PREFIX, Explain

_LITERAL = re.compile(r"'(?:[^']|'')*'")
_CALL = re.compile(r'("(?:[^"]|"")*"|[\w.]+)\s*\(')
_UNREADABLE = re.compile(r"\\|--|/\*|\$\w*\$")
_WRITES = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO|FOR\s+(?:NO\s+KEY|KEY\s+SHARE|SHARE))\b", re.IGNORECASE
)
_SYNTAX = """
    all and any array as between by case distinct else escape except exists filter from group having
    ilike in intersect is join lateral like limit materialized not offset on or over row select
    similar some then union using values when where within
    bit char decimal interval numeric time timestamp varchar
"""
_FUNCTIONS = """
    abs age array_agg array_append array_length array_position array_to_string avg bit_and bit_or
    bool_and bool_or btrim cardinality cast ceil ceiling char_length clock_timestamp coalesce concat
    concat_ws corr count cume_dist date date_bin date_part date_trunc decode dense_rank div encode
    every exp extract first_value floor format generate_series greatest initcap json_agg
    json_array_elements json_array_length json_build_array json_build_object json_object_agg
    jsonb_agg jsonb_array_elements jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_each jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys lag
    last_value lead least left length ln log lower lpad ltrim make_date make_interval max md5 min
    mod now nth_value ntile nullif octet_length overlay percent_rank percentile_cont percentile_disc
    phraseto_tsquery plainto_tsquery position power rank regexp_match regexp_replace repeat replace
    reverse right round row_number row_to_json rpad rtrim sign similarity split_part sqrt
    starts_with statement_timestamp stddev string_agg string_to_array strpos substr substring sum
    timezone to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector
    translate trim trunc ts_headline ts_rank ts_rank_cd unnest upper variance websearch_to_tsquery
    width_bucket word_similarity
"""


class PlainReads:
    """Judges compiled statements, each once.

    Args:
        functions: names of further functions that write nothing, lock nothing and read nothing
            that a transaction would hide.
    """

    def __init__(self, functions: Collection[str] = ()) -> None:
        self._harmless = {*_SYNTAX.split(), *_FUNCTIONS.split(), *map(str.lower, functions)}
        self._verdicts: WeakKeyDictionary[Compiled, bool] = WeakKeyDictionary()

    def __contains__(self, compiled: Compiled | None) -> bool:
        if compiled is None:
            return False
        verdict = self._verdicts.get(compiled)
        if verdict is None:
            verdict = self._verdicts[compiled] = self._judge(compiled)
        return verdict

    def _judge(self, compiled: Compiled) -> bool:
        statement, sql = compiled.statement, str(compiled)
        if isinstance(statement, Explain):
            statement, sql = statement.statement, sql.removeprefix(PREFIX)
        return (
            isinstance(statement, Select | CompoundSelect)
            and self.is_harmless(sql)
            and not any(
                isinstance(part, Table) and part.info.get("volatile")
                for part in visitors.iterate(statement)
            )
        )

    def is_harmless(self, sql: str) -> bool:
        """True if a SELECT neither writes nor locks, as far as its text tells."""
        bare = _LITERAL.sub("''", sql)
        if _UNREADABLE.search(bare) or _WRITES.search(bare):
            return False
        return all(name.lower() in self._harmless for name in _CALL.findall(bare))
