"""psycopg 3: types there and back in text and binary, pipelines, COPY, server-side cursors, transactions."""

import datetime
import decimal
import os
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

URL = os.environ["STELE_URL"]
D = decimal.Decimal

VALUES = [
    ("bool", True),
    ("int2", -32768),
    ("int4", 2**31 - 1),
    ("int8", -(2**63)),
    ("numeric", D("12345678901234567890.123456")),
    ("numeric(10,2)", D("-0.05")),
    ("float4", 1.5),
    ("float8", -1e-300),
    ("text", "tëxt 'quoted' \\ and \n more 😀"),
    ("varchar(5)", "ab"),
    ("bytea", bytes(range(256))),
    ("date", datetime.date(2024, 2, 29)),
    ("time", datetime.time(23, 59, 59, 999999)),
    ("timestamp", datetime.datetime(1999, 12, 31, 23, 59, 59, 1)),
    ("timestamptz", datetime.datetime(2024, 3, 31, 1, 30, tzinfo=datetime.timezone.utc)),
    ("uuid", uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ("int4[]", [1, None, -3]),
    ("text[]", ["a", 'b"c', "d,e", "", None, "{}"]),
    ("interval", datetime.timedelta(days=3, hours=4, microseconds=5)),
]


def types(connection):
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        for name, value in VALUES:
            for placeholder in ("%s", "%b", "%t"):
                query = f"SELECT {placeholder}::{name}, NULL::{name}"
                got = cursor.execute(query, (value,)).fetchone()
                assert got == (value, None), (name, placeholder, binary, got)
        for wrap, name in ((Json, "json"), (Jsonb, "jsonb")):
            document = {"a": [1, 2.5, None], "b": {"c": "x"}}
            got = cursor.execute(f"SELECT %s::{name}", (wrap(document),)).fetchone()
            assert got == (document,), (name, got)


def stored(connection):
    connection.execute(
        "CREATE TABLE kept (id int PRIMARY KEY, n numeric(12,3), t text, b bytea, z timestamptz, u uuid, l int[], j jsonb)"
    )
    rows = [
        (i, D(i) / 8, None if i % 7 == 0 else f"row {i}", bytes([i % 256]),
         datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(hours=i),
         uuid.UUID(int=i), [i, i + 1], Jsonb({"i": i}))
        for i in range(500)
    ]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO kept VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)
        assert cursor.rowcount == 500
        cursor.executemany(
            "INSERT INTO kept (id, t) VALUES (%s, %s) RETURNING id", [(1000, "a"), (1001, "b")], returning=True
        )
        got = [cursor.fetchone()[0]]
        while cursor.nextset():
            got.append(cursor.fetchone()[0])
        assert got == [1000, 1001], got
    for binary in (False, True):
        row = connection.cursor(binary=binary, row_factory=dict_row).execute(
            "SELECT * FROM kept WHERE id = %s", (8,)).fetchone()
        assert row["n"] == D("1.000") and row["l"] == [8, 9] and row["j"] == {"i": 8}, row
        assert row["z"] == datetime.datetime(2024, 1, 1, 8, tzinfo=datetime.timezone.utc), row
    connection.commit()


def copying(connection):
    connection.execute("CREATE TABLE copied (id int PRIMARY KEY, t text, n numeric, d date)")
    rows = [(i, None if i % 5 == 0 else f"tab\there {i}", D(i) / 4, datetime.date(2024, 1, 1)) for i in range(3000)]
    with connection.cursor() as cursor:
        with cursor.copy("COPY copied FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute("DELETE FROM copied WHERE id >= 10")
        with cursor.copy("COPY copied (id, t) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "text"])
            for i in range(10, 20):
                copy.write_row((i, "binary"))
        with cursor.copy("COPY (SELECT id, t FROM copied ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            got = list(copy.rows())
        assert got[1] == (1, "tab\there 1") and got[19] == (19, "binary") and got[0] == (0, None), got
        with cursor.copy("COPY (SELECT id, d FROM copied WHERE id < 3 ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "date"])
            assert list(copy.rows())[2] == (2, datetime.date(2024, 1, 1))
        with cursor.copy("COPY copied (id, t) FROM STDIN WHERE id % 2 = 0 AND t <> 'no'") as copy:
            for i in range(5000, 5010):
                copy.write_row((i, "no" if i == 5004 else "yes"))
        assert cursor.rowcount == 4, cursor.rowcount
        cursor.execute("DELETE FROM copied WHERE id >= 5000 RETURNING id")
        assert sorted(cursor.fetchall()) == [(5000,), (5002,), (5006,), (5008,)]
        with cursor.copy("COPY (DELETE FROM copied WHERE id > 15 RETURNING id) TO STDOUT") as copy:
            assert len(list(copy.rows())) == 4
    connection.commit()
    try:
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            copy.write_row((1, "twice", 1, None))
        raise AssertionError("a key was taken twice")
    except psycopg.errors.UniqueViolation as error:
        assert error.diag.constraint_name == "copied_pkey" and error.diag.table_name == "copied"
    connection.rollback()


def pipelines(connection):
    connection.execute("CREATE TABLE counted (id int PRIMARY KEY)")
    connection.commit()
    with connection.pipeline() as pipeline:
        for i in range(200):
            connection.execute("INSERT INTO counted VALUES (%s)", (i,))
        cursor = connection.execute("SELECT count(*) FROM counted")
        pipeline.sync()
        assert cursor.fetchone() == (200,)
    connection.commit()
    try:
        with connection.pipeline():
            connection.execute("INSERT INTO counted VALUES (1000)")
            connection.execute("INSERT INTO counted VALUES (1)")
            connection.execute("INSERT INTO counted VALUES (1001)")
    except psycopg.errors.UniqueViolation:
        pass
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM counted").fetchone() == (200,)
    connection.commit()


def cursors(connection):
    with connection.transaction():
        with connection.cursor(name="many") as cursor:
            cursor.itersize = 70
            cursor.execute("SELECT g FROM generate_series(1, 500) g")
            assert sum(row[0] for row in cursor) == 125250
        with connection.cursor(name="back", scrollable=True) as cursor:
            cursor.execute("SELECT g FROM generate_series(1, 10) g")
            cursor.scroll(5)
            assert cursor.fetchone() == (6,)
            cursor.scroll(0, mode="absolute")
            assert cursor.fetchmany(2) == [(1,), (2,)]
    with connection.cursor(name="kept", withhold=True) as cursor:
        cursor.execute("SELECT g FROM generate_series(1, 5) g")
        connection.commit()
        assert len(cursor.fetchall()) == 5
    connection.commit()
    assert list(connection.cursor().stream("SELECT g FROM generate_series(1, 5) g"))[4] == (5,)
    connection.commit()


def transactions(connection):
    connection.execute("CREATE TABLE step (id int PRIMARY KEY)")
    connection.commit()
    with connection.transaction():
        connection.execute("INSERT INTO step VALUES (1)")
        try:
            with connection.transaction():
                connection.execute("INSERT INTO step VALUES (2)")
                connection.execute("INSERT INTO step VALUES (1)")
        except psycopg.errors.UniqueViolation:
            pass
        connection.execute("INSERT INTO step VALUES (3)")
    assert connection.execute("SELECT array_agg(id ORDER BY id) FROM step").fetchone() == ([1, 3],)
    connection.commit()
    connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    connection.read_only = True
    assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
    try:
        connection.execute("INSERT INTO step VALUES (9)")
        raise AssertionError("written in a read-only transaction")
    except psycopg.errors.ReadOnlySqlTransaction:
        pass
    connection.rollback()
    connection.isolation_level = None
    connection.read_only = None
    connection.set_autocommit(True)
    query = sql.SQL("SELECT {} FROM {} WHERE id = {}").format(
        sql.Identifier("id"), sql.Identifier("step"), sql.Literal(3))
    assert connection.execute(query).fetchone() == (3,)
    for _ in range(12):
        assert connection.execute("SELECT id FROM step WHERE id = %s", (1,), prepare=True).fetchone() == (1,)
    connection.execute("CREATE TEMP TABLE scratch (id int)")
    connection.execute("INSERT INTO scratch VALUES (1)")
    assert connection.execute("SELECT count(*) FROM scratch").fetchone() == (1,)
    connection.execute("DISCARD ALL")
    assert connection.execute("SELECT id FROM step WHERE id = %s", (3,)).fetchone() == (3,)


def stopping():
    with psycopg.connect(URL, autocommit=True) as one, psycopg.connect(URL, autocommit=True) as other:
        one.execute("SET statement_timeout = '50ms'")
        try:
            one.execute("SELECT pg_sleep(30)")
            raise AssertionError("slept")
        except psycopg.errors.QueryCanceled:
            pass
        assert other.execute("SELECT pg_terminate_backend(%s)", (one.info.backend_pid,)).fetchone() == (True,)
        try:
            while True:
                one.execute("SELECT 1")
        except psycopg.OperationalError:
            pass


def refused():
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        guest = f"postgresql://guest:guest@{URL.split('@')[1]}"
        psycopg.connect(guest).close()
        connection.execute("REVOKE CONNECT ON DATABASE stele FROM PUBLIC")
        try:
            psycopg.connect(guest)
            raise AssertionError("connected without CONNECT")
        except psycopg.OperationalError as error:
            assert 'permission denied for database "stele"' in str(error), error
        connection.execute("GRANT CONNECT ON DATABASE stele TO guest")
        psycopg.connect(guest).close()


with psycopg.connect(URL) as connection:
    for test in (types, stored, copying, pipelines, cursors, transactions):
        test(connection)
stopping()
refused()
