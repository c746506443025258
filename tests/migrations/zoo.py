"""A zoo: kinds of columns, rules and tables, each with other versions that it may turn into.

A version is a function that adds its part to a `MetaData`; `None` is its absence. Each kind has
parts of its own, so that any choice of one version for each kind is a whole set of models.
"""

import enum
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql as pg

from neonkit.resources import search_index

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
}
Version = Callable[[sa.MetaData], object] | None


class Money(sa.types.TypeDecorator[Decimal]):
    """A decorator over a number."""

    impl = sa.Numeric(12, 2)
    cache_ok = True


class Guid(sa.types.TypeDecorator[Any]):
    """A decorator whose type depends on the dialect."""

    impl = sa.CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """A uuid."""
        return dialect.type_descriptor(pg.UUID())


class Email(sa.types.TypeDecorator[str]):
    """A decorator over an extension's type."""

    impl = pg.CITEXT
    cache_ok = True


class Code(sa.types.UserDefinedType[str]):
    """A type of one's own."""

    cache_ok = True

    def __init__(self, length: int) -> None:
        self.length = length

    def get_col_spec(self, **_: object) -> str:
        """Its SQL."""
        return f"varchar({self.length})"


class Mood(enum.Enum):
    """Members by name."""

    ok = "ok"
    bad = "bad"


def table(name: str, /, *items: Any, **options: Any) -> Version:  # as Table takes them
    """Make a table with an id; items are made anew for each use."""

    def make(metadata: sa.MetaData) -> None:
        made: list[Any] = [item() if callable(item) else item for item in items]
        key = sa.Column("id", sa.Integer, primary_key=True)
        sa.Table(name, metadata, key, *made, **options)

    return make


def column(name: str, /, *columns: Any, **options: Any) -> Version:  # as Table takes them
    """Make a table that is there for one column, beside one that always is."""
    return table(f"col_{name}", *columns, lambda: sa.Column("kept", sa.Text), **options)


def col(*arguments: Any, **options: Any) -> Callable[[], sa.Column[Any]]:  # as Column takes them
    """A column named c, made when the table is."""
    return lambda: sa.Column("c", *arguments, **options)


def named(
    name: str, *arguments: Any, **options: Any
) -> Callable[[], sa.Column[Any]]:  # as Column takes them
    """A column, made when the table is."""
    return lambda: sa.Column(name, *arguments, **options)


def text_enum(*labels: str, name: str = "kind") -> sa.Enum:
    """As a TableModel has it."""
    return sa.Enum(*labels, name=name, native_enum=False, create_constraint=True)


def check(words: str, name: str | None = "rule") -> Callable[[], sa.CheckConstraint]:
    """A CHECK."""
    return lambda: sa.CheckConstraint(words, name=name)


def unique(
    *names: str, **options: Any
) -> Callable[[], sa.UniqueConstraint]:  # as UniqueConstraint takes them
    """A UNIQUE."""
    return lambda: sa.UniqueConstraint(*names, **options)


def index(name: str, *parts: Any, **options: Any) -> Callable[[], sa.Index]:  # as Index takes them
    """An index."""
    return lambda: sa.Index(name, *parts, **options)


def foreign(name: str, /, *columns: Any, **options: Any) -> Version:  # as ForeignKey takes them
    """Two tables, one of which refers to the other."""

    def make(metadata: sa.MetaData) -> None:
        sa.Table(f"{name}_parent", metadata, sa.Column("id", sa.Integer, primary_key=True),
                 sa.Column("code", sa.Integer, unique=True))  # fmt: skip
        target = sa.ForeignKey(f"{name}_parent.{columns[0]}", **options)
        sa.Table(f"{name}_child", metadata, sa.Column("id", sa.Integer, primary_key=True),
                 sa.Column("parent", sa.Integer, target))  # fmt: skip

    return make


def circle(name: str, /, **options: Any) -> Version:  # as ForeignKey takes them
    """Two tables that refer to each other."""

    def make(metadata: sa.MetaData) -> None:
        for one, other in (("a", "b"), ("b", "a")):
            key = sa.ForeignKey(f"{name}_{other}.id", use_alter=one == "a",
                                name=f"{name}_{one}_to_{other}", **options)  # fmt: skip
            sa.Table(f"{name}_{one}", metadata, sa.Column("id", sa.Integer, primary_key=True),
                     sa.Column("other", sa.Integer, key))  # fmt: skip

    return make


def scripted(name: str, body: str) -> Version:
    """A table with a function and a trigger, made by events."""

    def make(metadata: sa.MetaData) -> None:
        made = sa.Table(f"{name}_t", metadata, sa.Column("id", sa.Integer, primary_key=True))
        function = (
            f"CREATE OR REPLACE FUNCTION {name}_f() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body} RETURN NEW; END $$"
        )
        trigger = (
            f"CREATE TRIGGER {name} BEFORE INSERT ON {name}_t FOR EACH ROW "
            f"EXECUTE FUNCTION {name}_f()"
        )
        for statement in (function, trigger):
            made_by = sa.DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy's
            event.listen(made, "after_create", made_by)

    return make


def sequence(name: str, **options: Any) -> Version:  # as Sequence takes them
    """A sequence of nobody's."""
    return lambda metadata: sa.Sequence(f"seq_{name}", metadata=metadata, **options)


def shared_enum(*labels: str, second: bool = False, default: str | None = None) -> Version:
    """A native enum in one table or in two."""

    def make(metadata: sa.MetaData) -> None:
        kind = sa.Enum(*labels, name="shared_kind", metadata=metadata)
        for each in ("one", *(["two"] if second else [])):
            sa.Table(f"shared_{each}", metadata, sa.Column("id", sa.Integer, primary_key=True),
                     sa.Column("kind", kind, server_default=default))  # fmt: skip

    return make


_I, _T, _N = sa.Integer, sa.Text, sa.Numeric
_native = partial(sa.Enum, name="native_kind")

ZOO: dict[str, tuple[Version, ...]] = {
    # a column: its type
    "integer": (column("integer", col(_I)), column("integer", col(sa.BigInteger)),
                column("integer", col(sa.SmallInteger)), column("integer"), None),
    "text": (column("text", col(_T)), column("text", col(sa.String(20))),
             column("text", col(sa.String(300))), column("text", col(sa.CHAR(3)))),
    "boolean": (column("boolean", col(sa.Boolean)), column("boolean", col(_I))),
    "numeric": (column("numeric", col(_N(10, 2))), column("numeric", col(_N(17, 4))),
                column("numeric", col(sa.Float)), column("numeric", col(sa.Double))),
    "timestamp": (column("timestamp", col(sa.DateTime)),
                  column("timestamp", col(sa.DateTime(timezone=True))),
                  column("timestamp", col(sa.Date))),
    "time": (column("time", col(sa.Time)), column("time", col(sa.Time(timezone=True)))),
    "interval": (column("interval", col(sa.Interval)), column("interval", col(_T)),
                 column("interval", col(pg.INTERVAL(fields="DAY TO SECOND")))),
    "uuid": (column("uuid", col(sa.Uuid)), column("uuid", col(sa.String(36)))),
    "bytes": (column("bytes", col(sa.LargeBinary)), column("bytes", col(_T))),
    "json": (column("json", col(sa.JSON)), column("json", col(pg.JSONB)), column("json", col(_T))),
    "array": (column("array", col(sa.ARRAY(_I))), column("array", col(pg.ARRAY(sa.BigInteger))),
              column("array", col(pg.ARRAY(_T)))),
    "ranges": (column("ranges", col(pg.INT4RANGE)), column("ranges", col(pg.INT8RANGE)),
               column("ranges", col(pg.TSTZRANGE))),
    "multirange": (column("multirange", col(pg.INT4MULTIRANGE)), column("multirange")),
    "network": (column("network", col(pg.INET)), column("network", col(pg.CIDR)),
                column("network", col(pg.MACADDR))),
    "tsvector": (column("tsvector", col(pg.TSVECTOR)), column("tsvector")),
    "bit": (column("bit", col(pg.BIT(4))), column("bit", col(pg.BIT(8, varying=True)))),
    "money": (column("money", col(pg.MONEY)), column("money", col(_N(12, 2)))),
    "citext": (column("citext", col(_T)), column("citext", col(pg.CITEXT))),
    "hstore": (column("hstore"), column("hstore", col(pg.HSTORE))),
    "decorator": (column("decorator", col(Money)), column("decorator", col(Guid)), column("decorator")),
    "email": (column("email", col(Email)), column("email", col(sa.String(100)))),
    "own_type": (column("own_type", col(Code(4))), column("own_type", col(Code(9)))),
    "collation": (column("collation", col(sa.Text(collation="C"))), column("collation", col(_T)),
                  column("collation", col(sa.String(20, collation="POSIX")))),
    "domain": (column("domain", col(pg.DOMAIN("posint", _I, check="VALUE > 0"))),
               column("domain", col(pg.DOMAIN("posint", _I, check="VALUE > 1", not_null=True))),
               column("domain", col(_I))),
    # a column: NULL, defaults, identity, computed
    "null": (column("null", col(_I)), column("null", col(_I, nullable=False)),
             column("null", col(_I, nullable=False, default=7))),
    "new_default": (column("new_default"), column("new_default", col(_I, nullable=False, default=0)),
                    column("new_default", col(sa.String(5), nullable=False, default="a'b"))),
    "new_uuid": (column("new_uuid"),
                 column("new_uuid", col(sa.Uuid, nullable=False, default=uuid4))),
    "new_list": (column("new_list"), column("new_list", col(pg.JSONB, nullable=False, default=list))),
    "new_enum": (column("new_enum"),
                 column("new_enum", col(text_enum("ok", "bad"), nullable=False, default="ok"))),
    "new_interval": (column("new_interval"), column("new_interval", col(sa.Interval, nullable=False,
                     default=timedelta(minutes=5)))),
    "server_default": (column("server_default", col(sa.String(9), server_default="draft")),
                       column("server_default", col(sa.String(9), server_default="it's")),
                       column("server_default", col(sa.String(9)))),
    "default_number": (column("default_number", col(_I, server_default="0")),
                       column("default_number", col(_N(9, 2), server_default="0")),
                       column("default_number", col(_T, server_default="0"))),
    "default_time": (column("default_time", col(sa.DateTime(timezone=True), server_default=sa.func.now())),
                     column("default_time", col(sa.DateTime(timezone=True),
                            server_default=sa.text("now() + interval '1 day'")))),
    "default_json": (column("default_json", col(pg.JSONB, server_default="{}")),
                     column("default_json", col(pg.JSONB, server_default=sa.text("'[\":a\"]'::jsonb"))),
                     column("default_json", col(sa.JSON, server_default="{}"))),
    "default_bool": (column("default_bool", col(sa.Boolean, server_default=sa.true())),
                     column("default_bool", col(sa.Boolean, server_default=sa.false()))),
    "default_array": (column("default_array", col(pg.ARRAY(_T), server_default="{}")),
                      column("default_array", col(pg.ARRAY(_T), server_default=sa.text("ARRAY['a']")))),
    "default_negative": (column("default_negative", col(_I, server_default="-1")),
                         column("default_negative", col(_I, server_default=sa.text("1 + 1")))),
    "computed": (column("computed", named("n", _I), col(_I, sa.Computed("n * 2", persisted=True))),
                 column("computed", named("n", _I), col(_I, sa.Computed("n * 3", persisted=True))),
                 column("computed", named("n", sa.BigInteger), col(_I, sa.Computed("(n * 2)::int", persisted=True))),
                 column("computed", named("n", _I), col(_I)),
                 column("computed", named("n", _I))),
    "computed_index": (column("computed_index", named("n", _I), col(_I, sa.Computed("n + 1", persisted=True), index=True)),
                       column("computed_index", named("n", sa.BigInteger),
                              col(sa.BigInteger, sa.Computed("n + 1", persisted=True), index=True))),
    "identity": (column("identity", col(_I, sa.Identity())),
                 column("identity", col(_I, sa.Identity(always=True, start=10, increment=5))),
                 column("identity", col(sa.BigInteger, sa.Identity(cycle=True, cache=7))),
                 column("identity", col(_I))),
    "key": (lambda m: sa.Table("key", m, sa.Column("id", _I, primary_key=True)),
            lambda m: sa.Table("key", m, sa.Column("id", sa.BigInteger, primary_key=True)),
            lambda m: sa.Table("key", m, sa.Column("id", _I, sa.Identity(), primary_key=True)),
            lambda m: sa.Table("key", m, sa.Column("id", sa.Uuid, primary_key=True)),
            lambda m: sa.Table("key", m, sa.Column("id", _I, primary_key=True, autoincrement=False),
                               sa.Column("part", _I, primary_key=True))),
    "column_order": (column("column_order", named("a", _I), named("b", _I)),
                     column("column_order", named("b", _I), named("a", _I))),
    # enums
    "text_enum": (column("text_enum", col(text_enum("a", "b"))), column("text_enum", col(text_enum("a", "b", "c"))),
                  column("text_enum", col(text_enum("a", "longer"))), column("text_enum", col(text_enum("a"))),
                  column("text_enum", col(_T))),
    "one_label": (column("one_label", col(text_enum("only"))), column("one_label", col(text_enum("only", "more")))),
    "native_enum": (column("native_enum", col(_native("a", "b"))), column("native_enum", col(_native("a", "b", "c"))),
                    column("native_enum", col(_native("z", "a", "m", "b"))), column("native_enum", col(_native("b", "a"))),
                    column("native_enum", col(_native("a"))), column("native_enum", col(text_enum("a", "b"))),
                    column("native_enum", col(_T)), column("native_enum")),
    "enum_default": (column("enum_default", col(sa.Enum("a", "b", name="enum_default_t"), server_default="a")),
                     column("enum_default", col(sa.Enum("a", "b", "c", name="enum_default_t"), server_default="c")),
                     column("enum_default", col(sa.Enum("b", name="enum_default_t"), server_default="b"))),
    "enum_rules": (column("enum_rules", col(sa.Enum("a", "b", name="enum_rules_t")), check("c <> 'b'"),
                          index("enum_rules_i", "c", postgresql_where=sa.text("c = 'a'"))),
                   column("enum_rules", col(sa.Enum("a", name="enum_rules_t")), check("c <> 'a'"),
                          index("enum_rules_i", "c", postgresql_where=sa.text("c = 'a'")))),
    "enum_array": (column("enum_array", col(pg.ARRAY(sa.Enum("a", "b", name="enum_array_t")))),
                   column("enum_array", col(pg.ARRAY(sa.Enum("b", "c", name="enum_array_t"))))),
    "shared_enum": (shared_enum("a", "b"), shared_enum("a", "b", second=True), shared_enum("a", "b", "c", second=True),
                    shared_enum("b", "c", second=True, default="b"), None),
    # checks
    "check": (column("check", col(_I), check("c > 0")), column("check", col(_I), check("c >= 0")),
              column("check", col(_I), check("c > 0", "another")), column("check", col(_I))),
    "check_list": (column("check_list", col(_T), check("c IN ('a', 'b')")),
                   column("check_list", col(_T), check("c IN ('a', 'b', 'it''s')")),
                   column("check_list", col(sa.String(9)), check("c IN ('a', 'b')")),
                   column("check_list", col(sa.String(9)), check("c NOT IN ('a', 'b')"))),
    "check_numbers": (column("check_numbers", col(_I), check("c IN (1, 2)")),
                      column("check_numbers", col(sa.BigInteger), check("c IN (1, 2)"))),
    "check_words": (column("check_words", col(sa.String(9)), check("c LIKE 'a%' AND length(c) BETWEEN 1 AND 5")),
                    column("check_words", col(_T), check("c ~ '^[a-z:]+$' OR c = lower(c)"))),
    "check_columns": (column("check_columns", named("a", _I), named("b", _I), check("a < b")),
                      column("check_columns", named("a", _I), named("b", sa.BigInteger), check("a < b OR b IS NULL"))),
    "unnamed_check": (column("unnamed_check", col(_I), check("c > 0", None)), column("unnamed_check", col(_I))),
    # other constraints
    "unique": (column("unique", col(_I, unique=True)), column("unique", col(_I)), column("unique", col(_T, unique=True))),
    "unique_two": (column("unique_two", named("a", _I), named("b", _I), unique("a", "b", name="u2")),
                   column("unique_two", named("a", _I), named("b", _I), unique("b", "a", name="u2")),
                   column("unique_two", named("a", _I), named("b", _I), unique("a", "b", name="u3"))),
    "unique_options": (column("unique_options", col(_I), unique("c", name="uo", deferrable=True, initially="DEFERRED")),
                       column("unique_options", col(_I), unique("c", name="uo", postgresql_nulls_not_distinct=True)),
                       column("unique_options", col(_I), unique("c", name="uo", postgresql_include=["kept"])),
                       column("unique_options", col(_I))),
    "exclude": (column("exclude", col(pg.INT4RANGE), lambda: pg.ExcludeConstraint(("c", "&&"), name="ex")),
                column("exclude", col(pg.INT4RANGE)),
                column("exclude", col(pg.INT4RANGE), named("room", _I),
                       lambda: pg.ExcludeConstraint(("room", "="), ("c", "&&"), name="ex",
                                                    where=sa.text("room > 0")))),
    "foreign": (foreign("foreign", "id"), foreign("foreign", "id", ondelete="CASCADE"),
                foreign("foreign", "id", ondelete="SET NULL", onupdate="CASCADE"),
                foreign("foreign", "code"), None),
    "foreign_options": (foreign("fo", "id", deferrable=True, initially="DEFERRED", name="fo_k"),
                        foreign("fo", "id", name="fo_k"), foreign("fo", "id", match="FULL", name="fo_other")),
    "key_moves": (lambda m: (sa.Table("numbered", m, sa.Column("a", _I, primary_key=True)),
                             sa.Table("numbering", m, sa.Column("id", _I, primary_key=True), sa.Column("n", _I, sa.ForeignKey("numbered.a")))),
                  lambda m: (sa.Table("numbered", m, sa.Column("a", _I, nullable=False, unique=True), sa.Column("b", _I, primary_key=True)),
                             sa.Table("numbering", m, sa.Column("id", _I, primary_key=True), sa.Column("n", _I, sa.ForeignKey("numbered.a"))))),
    "self": (table("self", lambda: sa.Column("parent", _I, sa.ForeignKey("self.id"))), table("self", named("parent", _I))),
    "circle": (circle("circle"), circle("circle", ondelete="CASCADE"), None),
    # indexes
    "index": (column("index", col(_I, index=True)), column("index", col(_I)), column("index", col(_T, index=True))),
    "index_unique": (column("index_unique", col(_T), index("iu", "c", unique=True)), column("index_unique", col(_T), index("iu", "c"))),
    "index_expression": (column("index_expression", col(_T), index("ie", sa.text("lower(c)"))),
                         column("index_expression", col(sa.String(9)), index("ie", sa.text("lower(c)"))),
                         column("index_expression", col(_T), index("ie", sa.text("upper(c)")))),
    "index_partial": (column("index_partial", col(_I), index("ip", "c", postgresql_where=sa.text("c > 0"))),
                      column("index_partial", col(sa.BigInteger), index("ip", "c", postgresql_where=sa.text("c > 0"))),
                      column("index_partial", col(_I), index("ip", "c", postgresql_where=sa.text("c IN (1, 2)")))),
    "index_trigram": (column("index_trigram", col(_T), index("it", "c", postgresql_using="gin", postgresql_ops={"c": "gin_trgm_ops"})),
                      column("index_trigram", col(_T))),
    "search_index": (table("searched", named("a", _T), named("b", _T), lambda: search_index("a")),
                     table("searched", named("a", _T), named("b", _T), lambda: search_index("a", "b")),
                     table("searched", named("a", sa.String(9)), named("b", _T), lambda: search_index("a")),
                     table("searched", named("a", _T), named("b", _T))),
    "index_options": (column("index_options", col(_I), index("io", sa.text("c DESC NULLS LAST"), postgresql_include=["kept"])),
                      column("index_options", col(_I), index("io", "c", postgresql_with={"fillfactor": 50})),
                      column("index_options", col(_I), index("io", "c", unique=True, postgresql_nulls_not_distinct=True))),
    "index_gin": (column("index_gin", col(pg.JSONB), index("ig", "c", postgresql_using="gin")),
                  column("index_gin", col(pg.JSONB), index("ig", "c", postgresql_using="gin", postgresql_ops={"c": "jsonb_path_ops"}))),
    "index_brin": (column("index_brin", col(_I), index("ib", "c", postgresql_using="brin")),
                   column("index_brin", col(_I), index("ib", "c", postgresql_using="hash"))),
    "index_renamed": (column("index_renamed", col(_I), index("ir_old", "c")), column("index_renamed", col(_I), index("ir_new", "c"))),
    # tables
    "table": (table("whole", named("a", _I)), None),
    "comments": (table("comments", named("a", _I, comment="it's: new"), comment="a table"), table("comments", named("a", _I, comment="other")),
                 table("comments", named("a", _I), comment="a\ntable")),
    "unlogged": (table("unlogged", prefixes=["UNLOGGED"]), table("unlogged")),
    "storage": (table("storage", postgresql_with={"fillfactor": 70}), table("storage"),
                table("storage", postgresql_with={"fillfactor": 80, "autovacuum_enabled": "false"})),
    "partitioned": (table("partitioned_none"), lambda m: sa.Table("partitioned", m, sa.Column("at", sa.Date, primary_key=True),
                                                                    postgresql_partition_by="RANGE (at)")),
    "quoted": (table("Weird Table", named("Select", _I), named("user", _T), index("Weird Index", "Select")),
               table("Weird Table", named("Select", sa.BigInteger), named("user", _T, unique=True)),
               table("Weird Table", named("A.B", _I))),
    "reserved": (table("order", named("group", _I, nullable=False, default=1)), table("order", named("desc", _I, index=True))),
    "schema": (table("note", named("a", _I), schema="crm"), table("note", named("a", _T, unique=True), schema="crm"),
               table("note", named("a", sa.Enum("x", name="crm_kind", schema="crm")), schema="crm"), None),
    "schema_two": (table("moved", schema="left"), table("moved", schema="right")),
    "schema_foreign": (None, lambda m: (sa.Table("own", m, sa.Column("id", _I, primary_key=True), schema="far"),
                                        sa.Table("near", m, sa.Column("id", _I, sa.ForeignKey("far.own.id"), primary_key=True)))),
    "sequence": (sequence("s"), sequence("s", start=5, increment=2, cycle=True), sequence("s", minvalue=-5, maxvalue=99, cache=3), None),
    "sequence_column": (column("sequence_column", col(_I, sa.Sequence("col_s"))), column("sequence_column", col(_I)),
                        column("sequence_column", col(_I, sa.Sequence("col_s"), server_default=sa.Sequence("col_s").next_value()))),
    "trigger": (scripted("trig", "PERFORM 1;"), scripted("trig", "PERFORM ':x';")),
    "columns": (table("many", *(named(f"c{number}", _I) for number in range(5))),
                table("many", *(named(f"c{number}", _I) for number in range(3, 8)))),
    "everything": (table("every", named("a", _I, nullable=False), named("b", _T, unique=True), check("a > 0"), index("every_i", "a", "b")),
                   table("every", named("a", sa.BigInteger, nullable=False), named("b", sa.String(99)), check("a > 1"), index("every_i", "b", "a"),
                         comment="all of it")),
}  # fmt: skip


def models(versions: dict[str, Version]) -> sa.MetaData:
    """One set of models, some of its constraints named by a convention."""
    metadata = sa.MetaData(naming_convention=NAMES)
    for version in versions.values():
        if version is not None:
            version(metadata)
    return metadata
