"""Every format of a table, read as the same rows, and what isn't one, refused by name. A row is a file."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import study
from study import processes, redaction
from study.config import grammar
from study.data import arrow_blocks, dialects, kept_rows, loading, queries, readers, tables
from study.errors import BadInput, Unreachable
from study.runner import identity
from study.settings import spec
from study.settings.data import UserTable
from tests import servers
from tests.test_table_reading import lines as table_lines

ROWS = [{"a": number, "b": ["x", "y", None][number % 3], "y": number + 0.5} for number in range(12)]
TEXT = "a,b,y\n" + "".join(f"{row['a']},{row['b'] or ''},{row['y']}\n" for row in ROWS)
TABLE = pa.Table.from_pylist(ROWS)
QUERY = "SELECT a, b, y FROM houses"


def zipped(path: Path, **texts: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)


def zstd(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(TEXT.encode())


def views(path: Path) -> None:
    """As polars writes texts, and databases decimals."""
    texts = TABLE.column("b").cast(pa.string_view())
    parquet.write_table(TABLE.set_column(0, "a", TABLE.column("a").cast(pa.decimal128(20, 0))).set_column(1, "b", texts), path)


def arrow(path: Path) -> None:
    with pa.ipc.new_file(path, TABLE.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(TABLE, max_chunksize=5)


def stream(path: Path) -> None:
    with pa.ipc.new_stream(path, TABLE.schema) as writer:
        writer.write_table(TABLE)


def workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    sheet = book.create_sheet("Data")
    for row in [["Houses of 2024"], [], ["a", "b", "y"], *([*row.values()] for row in ROWS), []]:
        sheet.append(row)
    book.save(path)


def with_notes(path: Path) -> None:
    workbook(path)
    book = openpyxl.load_workbook(path)
    for row in [["note", "by"], ["checked", "Ann"], ["sent", "Bo"]]:
        book["Notes"].append(row)
    book.save(path)


def database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE houses (a INTEGER, b TEXT, y REAL, v)")
        connection.executemany("INSERT INTO houses VALUES (:a, :b, :y, NULL)", ROWS)
        connection.commit()


WRITERS: dict[str, Callable[[Path], object]] = {
    "t.csv": lambda path: path.write_text(TEXT),
    "t.csv.gz": lambda path: path.write_bytes(gzip.compress(TEXT.encode())),
    "t.csv.bz2": lambda path: path.write_bytes(bz2.compress(TEXT.encode())),
    "t.csv.xz": lambda path: path.write_bytes(lzma.compress(TEXT.encode())),
    "t.csv.zst": zstd,
    "t.zip": lambda path: zipped(path, **{"t.csv": TEXT, "__MACOSX/._t.csv": "of macOS"}),
    "t.jsonl": lambda path: path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS)),
    "t.parquet": lambda path: parquet.write_table(TABLE, path),
    "views.parquet": views,
    "t.arrow": arrow,
    "t.stream": stream,
    "t.xlsx": workbook,
    "t.db": database,
}
MORE = {"t.xlsx": {"sheet": "Data"}, "t.db": {"sql": QUERY}}


def read(name: str, **more: Any) -> readers.FileContent:
    return readers.columns(UserTable(path=name, target="y", **more), lambda names: [name for name in names if name in "aby"])


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows_to_train_on_and_to_predict(empty: Path, name: str) -> None:
    WRITERS[name](empty / name)
    content = read(name, **MORE.get(name, {}))
    values = {key: column.to_pylist() for key, column in content.columns.items()}
    assert [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)] == ROWS
    settings = UserTable(path=name, target="y", **MORE.get(name, {}))
    new = readers.values(settings, ["b", "a"], ["b"])
    assert [float(value) for value in new["a"]] == [row["a"] for row in ROWS]
    assert new["b"].tolist() == [row["b"] for row in ROWS]


def test_a_level_that_was_a_text_is_one_in_a_format_of_numbers(empty: Path) -> None:
    parquet.write_table(pa.table({"code": [1.0, 2.0], "y": [1.0, 2.0]}), "t.parquet")
    assert readers.values(UserTable(path="t.parquet", target="y"), ["code"], ["code"])["code"].tolist() == ["1", "2"]


def test_a_line_of_names_may_be_wider_than_a_block(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_blocks, "BLOCK", 1 << 12)
    names = [f"the_column_with_number_{number}" for number in range(4000)]
    Path("t.csv").write_text(",".join([*names, "y"]) + ("\n" + ",".join(["1"] * 4001)) * 3 + "\n")
    columns = readers.columns(UserTable(path="t.csv", target="y"), lambda names: names).columns
    assert list(columns) == [*names, "y"]
    assert columns["y"].to_pylist() == [1, 1, 1]


def test_cells_of_a_workbook_keep_their_kind(empty: Path) -> None:
    book = openpyxl.Workbook()
    for row in [
        ["when", "mixed", "error", "1,5", "y"],
        *([date(2024, 1, day), [day, "n"][day % 2], ["#N/A", day][day % 2], "1,200", day] for day in range(1, 9)),
    ]:
        book.active.append(row)
    book.save("t.xlsx")
    columns = readers.columns(UserTable(path="t.xlsx", target="y"), lambda names: names).columns
    assert columns["when"].to_pylist()[0].date() == date(2024, 1, 1)
    assert columns["mixed"].to_pylist()[:2] == ["n", "2"]
    assert columns["error"].to_pylist()[:2] == [1, None]
    assert columns["1,5"].to_pylist() == [1200.0] * 8


# -- dialects ------------------------------------------------------------------------------------------------------------------


lines = partial(table_lines, count=12)


DIALECTS = [
    ("quotes '", lines("a,b,y", lambda n: f"{n},'x,{n}',{n}.5"), {}),
    ("\\ before quotes", lines("a,b,y", lambda n: f'{n},"x \\", {n}",{n}.5'), {}),
    ("", lines("a, b, y", lambda n: f'{n}, "x, {n}", {n}.5'), {}),
    ("2 lines above the table", lines("# made by\n# me, and, who, else\na,b,y", lambda n: f"{n},x,{n}.5"), {}),
    ("left out: 1 line of comments", lines("a,b,y", lambda n: f"{n - (n > 3)},x,{n - (n > 3)}.5" if n != 3 else "# break"), {}),
    ("3 lines above the table", lines("Houses\n\nof 2024\na,b,y", lambda n: f"{n},x,{n}.5"), {}),
    ("2 lines above the table", lines("p,q,r\n1,2,3\na,b,y", lambda n: f"{n},x,{n}.5"), {"skip": 2}),
    ("row labels", lines('"a" "b" "y"', lambda n: f'"{n}" {n} "new york" {n}.5'), {}),
    ("1 column without a name", lines("a,b,y", lambda n: f"{n},x,{n}.5,"), {}),
    ("", lines("a,b,y,", lambda n: f"{n},x,{n}.5"), {}),
    ("delimiter blanks", lines("  a   b      y", lambda n: f"  {n}   x    {n}.5  "), {}),
    ("delimiter blanks", lines("a  b  y", lambda n: f'{n}  "x {n}" {n}.5'), {}),
    ("delimiter blanks", lines("a b  y", lambda n: f"{n} x  {n}.5"), {"delimiter": " "}),
    ("delimiter '::'", lines("a::b::y", lambda n: f"{n}::x::{n}.5"), {}),
    ("delimiter '^'", lines("a^b^y", lambda n: f"{n}^x, {n}^{n}.5"), {}),
    ("delimiter '\\x01'", lines("a\x01b\x01y", lambda n: f"{n}\x01x\x01{n}.5"), {}),
    ("1 line above", lines("sep=;\na;b;y", lambda n: f"{n};x;{n}.5"), {}),
    ("", lines("a,b,y", lambda n: f"{n},x,{n}.5").replace("\n", "\r"), {}),
]


@pytest.mark.parametrize(("note", "text", "more"), DIALECTS)
def test_a_dialect_is_found_and_printed(empty: Path, note: str, text: str, more: dict[str, Any]) -> None:
    Path("t.csv").write_bytes(text.encode())
    content = read("t.csv", **more)
    assert note in "; ".join(content.notes) and bool(note) == bool(content.notes)
    count = 11 if "comments" in note else 12
    assert content.columns["a"].to_pylist() == list(range(count))
    assert content.columns["y"].to_pylist() == [number + 0.5 for number in range(count)]
    assert all(text.startswith(("x", "new")) for text in content.columns["b"].to_pylist())


def test_a_ragged_row_is_named_below_a_title(empty: Path) -> None:
    Path("t.csv").write_text(lines("Houses\na,b,y", lambda n: f"{n},x,{n}.5" + ",9" * (n == 7)))
    with pytest.raises(BadInput, match=r"3 fields in each row \(row 8 has 4\)"):
        read("t.csv")


def test_a_rewritten_text_is_the_same_in_blocks_of_any_size() -> None:
    text = lines("  a   b      y", lambda n: f'  {n}   "x  {n}"    {n}.5  ').encode()
    dialect = dialects.dialect_of(text.decode(), None, None, None, True)

    class Slow:
        """Gives a few bytes at a time."""

        def __init__(self) -> None:
            self.left = text

        def read(self, size: int) -> bytes:
            taken, self.left = self.left[:7], self.left[7:]
            return taken

        def readline(self) -> bytes:
            line, end, self.left = self.left.partition(b"\n")
            return line + end

    rewritten = dialects.Rewritten(Slow(), dialect).readall()  # type: ignore[arg-type]
    assert rewritten.splitlines()[1] == b'0\x1f"x  0"\x1f0.5'
    assert {line.count(b"\x1f") for line in rewritten.splitlines()} == {2}


# -- refused -------------------------------------------------------------------------------------------------------------------


def cut(name: str, size: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        WRITERS[name](path)
        path.write_bytes(path.read_bytes()[:size])

    return write


REFUSED: list[tuple[str, Callable[[Path], object], dict[str, Any], str, str]] = [
    ("two.zip", lambda path: zipped(path, **{"a.csv": TEXT, "b.csv": TEXT}), {}, "data.path", "a zip of 2 files: 'a.csv', 'b.csv'"),
    ("none.zip", lambda path: zipped(path), {}, "data.path", "a zip of 0 files"),
    ("torn.zip", cut("t.zip", 90), {}, "data.path", "a whole zip file"),
    ("torn.gz", cut("t.csv.gz", 40), {}, "data.path", "a file that can be read"),
    ("torn.zst", cut("t.csv.zst", 30), {}, "data.path", "a file that can be read"),
    ("torn.parquet", cut("t.parquet", 90), {}, "data.path", "a Parquet file"),
    ("torn.arrow", cut("t.arrow", 90), {}, "data.path", "an Arrow file"),
    ("torn.jsonl", cut("t.jsonl", 90), {}, "data.path", "a JSON lines file"),
    ("torn.xlsx", cut("t.xlsx", 900), {"sheet": "Data"}, "data.path", "a whole zip file"),
    ("text.xlsx", lambda path: path.write_text(TEXT), {}, "data.path", "a whole zip file"),
    ("t.xlsx", workbook, {"sheet": "data"}, "data.sheet", "Notes, Data"),
    ("t.xls", lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600)), {}, "data.path", "Excel (.xlsx)"),
    ("t.ods", lambda path: zipped(path, **{"content.xml": "<a/>"}), {}, "data.path", "save it as .xlsx"),
    ("t.pdf", lambda path: path.write_text("%PDF-1.7"), {}, "data.path", "a PDF file'; valid: CSV or other text"),
    ("t.html", lambda path: path.write_text("<!DOCTYPE html>"), {}, "data.path", "a page of HTML"),
    ("t.json", lambda path: path.write_text(json.dumps(ROWS)), {}, "data.path", "a JSON array; write one object per line"),
    ("i.json", lambda path: path.write_text(json.dumps(ROWS[0], indent=1)), {}, "data.path", "JSON over several lines"),
    ("m.jsonl", lambda path: path.write_text('{"y":1}\n{"y":"x"}\n'), {}, "data.path", "column 'y': string after number"),
    ("t.db", database, {}, "data.sql", "its tables: houses"),
    ("t.db", database, {"sql": "DELETE FROM houses"}, "data.sql", "only reads"),
    ("t.db", database, {"sql": "WITH x AS (SELECT 1) DELETE FROM houses"}, "data.sql", "it may only read"),
    ("t.db", database, {"sql": "SELECT load_extension('x')"}, "data.sql", "it may only read"),
    ("t.db", database, {"sql": "SELECT 1 AS y; DROP TABLE houses"}, "data.sql", "one statement at a time"),
    ("t.db", database, {"sql": "SELECT absent FROM houses"}, "data.sql", "no such column: absent"),
    ("t.csv", WRITERS["t.csv"], {"sql": QUERY}, "data.path", "a SQLite file, or a database's URL, with data.sql"),
    ("torn.db", cut("t.db", 3000), {"sql": QUERY}, "data.path", "a SQLite file that is whole"),
]


@pytest.mark.parametrize(
    ("name", "write", "more", "key", "part"), REFUSED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_no_table_is_refused(
    empty: Path, name: str, write: Callable[[Path], object], more: dict[str, Any], key: str, part: str
) -> None:
    write(empty / name)
    before = (empty / name).read_bytes()
    with pytest.raises(BadInput) as raised:
        read(name, **more)
    assert str(raised.value).startswith(f"{key}: got ") and part in str(raised.value)
    assert (empty / name).read_bytes() == before


def test_a_target_that_the_first_sheet_lacks_may_be_in_another(empty: Path) -> None:
    with_notes(empty / "t.xlsx")
    with pytest.raises(BadInput, match=r"data\.target: got 'y'.*this is the first sheet, 'Notes'; data\.sheet reads another: Data"):
        tables.read(UserTable(path="t.xlsx", target="y"))


@pytest.mark.parametrize("name", ["t.csv.gz", "t.zip", "t.parquet", "t.stream", "t.xlsx"])
def test_what_unpacks_to_more_than_the_memory_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    WRITERS[name](empty / name)
    monkeypatch.setattr(processes, "free_memory", lambda: 4.0)
    with pytest.raises(BadInput, match=r"a table that fits into the memory, of which 0\.0 GB are free"):
        read(name)


# -- queries -------------------------------------------------------------------------------------------------------------------


def kept_names(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in (folder / ".mlp-study" / "rows").iterdir() if path.suffix == ".parquet")


def test_the_rows_of_a_query_outlive_its_database_and_follow_its_changes(empty: Path) -> None:
    database(empty / "t.db")
    first = read("t.db", sql=QUERY)
    assert first.notes[0].startswith("12 rows of the query, as of 2")
    [name] = kept_names(empty)
    (empty / "t.db").rename("moved.db")
    assert read("t.db", sql=QUERY).notes == first.notes
    # a damaged copy is no copy
    (kept_rows.KEPT / name).write_bytes(b"")
    with pytest.raises(BadInput, match="no such file"):
        read("t.db", sql=QUERY)
    (empty / "moved.db").rename("t.db")
    assert len(read("t.db", sql=QUERY).columns["y"]) == 12
    with closing(sqlite3.connect("t.db")) as connection:
        connection.execute("DELETE FROM houses WHERE a > 5")
        connection.commit()
    assert len(read("t.db", sql=QUERY).columns["y"]) == 6
    assert name in kept_names(empty) and len(kept_names(empty)) == 2


def test_a_query_is_no_part_of_a_studys_identity_but_its_rows_are(empty: Path) -> None:
    database(empty / "t.db")
    (empty / "t.csv").write_text(TEXT)
    more = ("data.target=y", "data.drop=[b]", "training.batch_size=2", "seed=1")
    asked, filed = (
        study.compose(["data=table", f"data.path={name}", *query, *more])
        for name, query in (("t.db", [f"data.sql={QUERY}"]), ("t.csv", []))
    )
    assert loading.digest(asked) == loading.digest(filed)
    differ = {key for key, value in spec.identifying(asked).items() if spec.identifying(filed).get(key) != value}
    assert differ == {"data.path", "data.sql"} <= set(identity.PATHS)


def test_a_test_part_may_be_another_database_or_a_file(empty: Path) -> None:
    for name in ("t.db", "u.db"):
        database(empty / name)
    WRITERS["t.parquet"](empty / "t.parquet")
    for tested in ("u.db", "t.parquet"):
        overrides = [
            "data=table",
            "data.path=t.db",
            f"data.sql={QUERY}",
            f"data.test_path={tested}",
            "data.target=y",
            "data.drop=[b]",
        ]
        assert loading.rows(study.compose([*overrides, "training.batch_size=2"])).test_rows == 12


def test_a_querys_commas_need_no_quotes_of_hydras() -> None:
    [override] = grammar.parse(grammar.quote_columns(["data.sql=SELECT a, 'x=1' FROM t WHERE b = 'é'"]))
    assert override.value() == "SELECT a, 'x=1' FROM t WHERE b = 'é'"
    assert grammar.quote_columns(["data.sql=null"]) == ["data.sql=null"]


URL = "postgresql://me:{}@localhost:1/houses"


def test_a_password_is_named_and_never_written(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOUSES_PASSWORD", "hunter2hunter2")
    named = UserTable(path=URL.format("$HOUSES_PASSWORD"), target="y", sql=QUERY)
    assert redaction.redact(named.path) == named.path
    with pytest.raises(Unreachable, match=r"data.path postgresql://me:\$HOUSES_PASSWORD@localhost:1/houses: .*refused") as raised:
        readers.columns(named, lambda names: names)
    assert "hunter2" not in str(raised.value)
    for url in (URL.format("hunter2hunter2"), URL.format("$NO_SUCH_PASSWORD")):
        with pytest.raises(BadInput, match="a database's URL without a password"):
            UserTable(path=url, target="y", sql=QUERY)
        assert "***" in redaction.redact(url)
    assert not os.listdir(empty) or kept_names(empty) == []


@pytest.mark.parametrize(
    ("path", "key", "part"),
    [
        ("https://example.org/houses.csv", "path", "the path of a file"),
        ("postgresql://me@localhost/houses", "sql", "a query, such as"),
    ],
)
def test_a_url_is_a_databases_and_needs_a_query(path: str, key: str, part: str) -> None:
    with pytest.raises(BadInput) as raised:
        UserTable(path=path, target="y")
    assert [fault.key for fault in raised.value.faults] == [key] and part in str(raised.value)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("nosuch://me@localhost/houses", "Can't load plugin"),
        ("mysql+mysqldb://me@localhost/houses", "whose driver is installed, which MySQLdb isn't"),
    ],
)
def test_an_unknown_database_is_refused(empty: Path, path: str, part: str) -> None:
    with pytest.raises(BadInput) as raised:
        queries.rows(UserTable(path=path, target="y", sql=QUERY))
    assert str(raised.value).startswith("data.path: got ") and part in str(raised.value)


@pytest.mark.long
def test_a_server_gives_its_rows_to_a_query_that_cant_write(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg2

    with servers.postgres() as server:
        monkeypatch.setenv("HOUSES_PASSWORD", servers.PASSWORD)
        monkeypatch.setattr("study.data.python_rows.BLOCK", 5)
        with (
            closing(psycopg2.connect(server.url("postgres"), password=servers.PASSWORD)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("CREATE TABLE houses (a integer, b text, y numeric(10, 2), d date)")
            cursor.executemany("INSERT INTO houses VALUES (%(a)s, %(b)s, %(y)s, '2024-01-31')", ROWS)
            connection.commit()
        path = server.url("postgres").replace("@", ":$HOUSES_PASSWORD@")
        # casts, per cent signs and colons are PostgreSQL's, and no parameters
        sql = "SELECT a, b, y::float8 AS y, 'x:y' AS c FROM houses WHERE b LIKE '%' OR b IS NULL OR a % 2 = 0 ORDER BY a"
        content = read(path, sql=sql)
        values = {key: column.to_pylist() for key, column in content.columns.items()}
        assert [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)] == ROWS
        assert "to run the query again: rm .mlp-study/rows/query-" in content.notes[0]
        assert queries.rows(UserTable(path=path, target="y", sql="SELECT y FROM houses")).column("y").to_pylist()[:2] == [0.5, 1.5]
        for written in ("WITH gone AS (DELETE FROM houses RETURNING a) SELECT a FROM gone", "SELECT nextval('nothing')"):
            with pytest.raises(BadInput, match=r"data\.sql: got "):
                read(path, sql=written)
        with pytest.raises(BadInput, match="read-only transaction"):
            read(path, sql="SELECT * FROM houses FOR UPDATE")
    # the server is gone
    assert read(path, sql=sql).notes == content.notes
    written_files = [file.read_bytes() for file in empty.rglob("*") if file.is_file()]
    assert written_files and all(servers.PASSWORD.encode() not in content for content in written_files)
