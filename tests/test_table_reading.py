"""What is guessed to read a table: what it becomes, the line that says so, and the key that says otherwise. A row is a file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import study
from study.config import composition
from study.data import encoding, inputs, loading, number_texts, readers, table_text, tables
from study.data.encoding import LEVELS, TableColumn
from study.errors import BadInput
from study.settings.data import UserTable
from study.settings.spec import TrialSpec, flat, identifying

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
NINE = "'data.gaps=[-999]'"


def lines(head: str, row: Callable[[int], str], count: int = 60) -> str:
    return head + "".join(f"\n{row(number)}" for number in range(count)) + "\n"


def of(content: str | bytes, folder: Path, *more: str) -> TrialSpec:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return study.compose(["data=table", f"data.path={path}", "data.target=y", "training.batch_size=4", *more])


@dataclass(frozen=True)
class Row:
    """inputs: their names; notes: part of each line that says what was guessed; text: what the line before them holds.

    first: the first input's first values.
    """

    name: str
    content: str | bytes
    inputs: Sequence[str]
    notes: Sequence[str] = ()
    more: Sequence[str] = ()
    text: str = ""
    first: Sequence[float] = ()
    target: str = "y"


CITIES = lines("城市,a,y", lambda n: f"{['北京', '上海'][n % 2]},{n},{n * 1.5}")
WIDE = lines("", lambda n: f"5.{n % 10},{n},{['Iris-setosa', 'Iris-virginica'][n % 2]},{n * 1.5}").lstrip()
LABELS = lines(",a,y", lambda n: f"{n},{n % 7},{n * 1.5}")
ROWS = [
    Row("plain", lines("a,b,y", lambda n: f"{n},{n % 5},{n * 1.5}"), ["a", "b"]),
    # row labels
    Row("a nameless first column", LABELS, ["a"], ["left out as row labels: the first column, which has no name (data.index=keep"]),
    Row("R's row names", lines('"","a","y"', lambda n: f'"{n}",{n % 7},{n}.5'), ["a"], ["left out as row labels"]),
    Row("kept row labels", LABELS, ["", "a"], more=["data.index=keep"]),
    Row("Unnamed: 0", LABELS.replace(",a", "Unnamed: 0,a", 1), ["a"], ["left out as row labels: 'Unnamed: 0'"]),
    Row(
        "two of them",
        lines("Unnamed: 0.1,Unnamed: 0,a,y", lambda n: f"{n},{n},{n % 7},{n}.5"),
        ["a"],
        ["row labels: 'Unnamed: 0.1', 'Unnamed: 0'"],
    ),
    Row("dropped row labels", LABELS, ["a"], more=['data.drop=[""]']),
    Row("dropped Unnamed: 0", LABELS.replace(",a", "Unnamed: 0,a", 1), ["a"], more=['data.drop=["Unnamed: 0"]']),
    # columns without a name
    Row("a delimiter at the end", lines("a,y,", lambda n: f"{n},{n}.5,"), ["a"], ["left out: 1 column without a name and"]),
    Row("two at the end", lines("a,y,,", lambda n: f"{n},{n}.5,,"), ["a"], ["left out: 2 columns without a name and"]),
    Row("labels and an end", lines(",a,y,", lambda n: f"{n},{n},{n}.5,"), ["a"], ["row labels", "1 column without"]),
    Row("after blank lines", "\n\n" + lines("a,y,", lambda n: f"{n},{n}.5,"), ["a"], ["1 column without a name"]),
    Row("a nameless column with values", lines("a,,y", lambda n: f"{n},{n % 3},{n}.5"), ["a", ""]),
    # names
    Row(
        "no names",
        WIDE,
        [f"column_{n}" for n in (1, 2)] + ["column_3=Iris-setosa", "column_3=Iris-virginica"],
        ["no names: "],
        target="column_4",
    ),
    Row(
        "names after all",
        WIDE,
        ["5.0", "0", "Iris-setosa=Iris-setosa", "Iris-setosa=Iris-virginica"],
        more=["data.header=true"],
        target='"0.0"',
    ),
    Row("numbers as names", lines("0,1,y", lambda n: f"{n}.5,{n % 7},{n}.5"), ["0", "1"]),
    Row(
        "no names and dates",
        lines("", lambda n: f"{2000 + n}-01-02,{n},{n}.5").lstrip(),
        ["column_2"],
        ["no names"],
        ["data.drop=[column_1]"],
        target="column_3",
    ),
    # encodings
    Row("GBK", CITIES.encode("gbk"), ["城市=上海", "城市=北京", "a"], ["encoding gb18030, as in '城市' (data.encoding)"]),
    Row("GBK, named", CITIES.encode("gbk"), ["城市=上海", "城市=北京", "a"], ["encoding gbk, as in '城市'"], ["data.encoding=gbk"]),
    Row("UTF-8 with its mark", CITIES.encode("utf-8-sig"), ["城市=上海", "城市=北京", "a"]),
    Row("UTF-16 without its mark", CITIES.encode("utf-16-le"), ["城市=上海", "城市=北京", "a"], ["encoding utf-16-le"]),
    Row("UTF-32", CITIES.encode("utf-32"), ["城市=上海", "城市=北京", "a"], ["encoding utf-32"]),
    Row(
        "cp1252 beyond the first block",
        lines("t,y", lambda n: f"{'Köln' if n % 2 and n > 9000 else 'Bonn'},{n}.5", 12_000).encode("cp1252"),
        ["t=Bonn", "t=Köln"],
        ["encoding cp1252 (data.encoding)"],
    ),
    # numbers
    Row(
        "delimiter and decimals",
        lines("a;y", lambda n: f"{n},5;{n},25"),
        ["a"],
        ["delimiter ';'; decimal mark ','"],
        ["data.decimal=','"],
    ),
    Row("a tab", lines("a\ty", lambda n: f"{n}\t{n}.5"), ["a"], ["delimiter tab"]),
    Row(
        "thousands",
        lines("a,y", lambda n: f'"{n * 40 + 500:,}",{n}.5'),
        ["a"],
        ["a '1,020' is 1020 (if the comma is a decimal mark: \"data.decimal=','\")"],
        first=[500, 540],
    ),
    Row(
        "named thousands", lines("a,y", lambda n: f'"{n * 40 + 990:,}",{n}.5'), ["a"], ["a '1,030' is 1030"], ["data.thousands=','"]
    ),
    Row("millions", lines("a,y", lambda n: f'"{n * 400_000:,}",{n}.5'), ["a"], ["a '400,000' is 400000"]),
    Row("dollars", lines("a,y", lambda n: f'"${n * 400:,}.50",{n}.5'), ["a"], ["a '$0.50' is 0.5"], first=[0.5, 400.5]),
    Row("per cent", lines("a,y", lambda n: f"{n} %,{n}.5"), ["a"], ["a '0 %' is 0"], first=[0, 1, 2]),
    Row(
        "euros",
        lines("a;y", lambda n: f"{n + 1}.500,25 €;{n},5"),
        ["a"],
        ["decimal mark", "a '1.500,25 €' is 1500.25"],
        ["data.decimal=','"],
    ),
    Row("Swiss francs", lines("a,y", lambda n: f"{n + 1}'000.5,{n}.5"), ["a"], ['a "1\'000.5" is 1000.5'], first=[1000.5]),
    Row(
        "French blanks", lines("a;y", lambda n: f"{n + 1}\u202f000,5;{n},5"), ["a"], ["decimal", "is 1000.5"], ["data.decimal=','"]
    ),
    Row(
        "doubtful decimals",
        lines("a;y", lambda n: f"1,{n + 100};{n},5"),
        ["a"],
        ["decimal mark", "a: '1,100' is 1.1 (if the comma separates thousands: data.decimal=.)"],
        ["data.decimal=','"],
    ),
    Row(
        "decimals, as was said",
        lines("a;y", lambda n: f"1,{n + 100};{n},5"),
        ["a"],
        ["mark"],
        ["data.decimal=','", "data.thousands=."],
    ),
    Row("decimals for sure", lines("a;y", lambda n: f"0,{n + 100};{n},5"), ["a"], ["decimal mark"], ["data.decimal=','"]),
    # gaps
    Row(
        "-999",
        lines("a,y", lambda n: f"{n if n % 9 else -999},{n}.5"),
        ["a"],
        [f"possible missing values: a -999 (7 rows) (if so: {NINE}", "far from all others, brought nearer (data.clip=null"],
    ),
    Row(
        "-999 as target",
        lines("a,y", lambda n: f"{n},{n * 1.5 if n % 9 else -999}"),
        ["a"],
        ["possible missing target: y -999 (7 rows) (if so, remove"],
    ),
    Row("-999 among others", lines("a,y", lambda n: f"{n - 1010},{n}.5"), ["a"]),
    Row("999 among others", lines("a,y", lambda n: f"{n + 970},{n}.5"), ["a"]),
    Row(
        "-999 as a gap",
        lines("a,y", lambda n: f"{n if n % 9 else '-999.0'},{n}.5"),
        ["a"],
        ["missing values: -999"],
        ["data.gaps=[-999]", "data.missing=mean"],
        first=[np.nan, 1],
    ),
    Row(
        "texts as gaps",
        lines("a,b,y", lambda n: f"{n if n % 9 else '?'},{'u' if n % 2 else 'unknown' if n % 3 else 'v'},{n}.5"),
        ["a", "b=u", "b=v"],
        ["missing values: ?, unknown"],
        ['data.gaps=["?",unknown]', "data.missing=mean"],
        first=[np.nan, 1],
    ),
    # classes
    Row(
        "0.0 and 1.0",
        lines("a,y", lambda n: f"{n},{n % 2}.0"),
        ["a"],
        text="2 classes: 0, 1 (data.task=regression treats them as numbers)",
    ),
    Row(
        "0.0 and 1.0 as numbers",
        lines("a,y", lambda n: f"{n},{n % 2}.0"),
        ["a"],
        text="regression of y (data.task=classification treats its numbers as classes);",
        more=["data.task=regression"],
    ),
    Row("stars", lines("a,y", lambda n: f"{n},{n % 5 + 1}.0"), ["a"], text="5 classes: 1, 2, 3, 4, 5 (data.task=regression"),
    Row("halves", lines("a,y", lambda n: f"{n},{n % 5 / 2}"), ["a"], text="regression of y;"),
    Row("many whole ones", lines("a,y", lambda n: f"{n},{n % 25}.0"), ["a"], text="regression of y;"),
    Row("prices", lines("a,y", lambda n: f'{n},"${n * 1000 + 1200:,}"'), ["a"], ["y '$1,200' is 1200"], text="regression of y;"),
    # dates
    Row(
        "months",
        lines("a,b,y", lambda n: f"{['Jan', 'Feb'][n % 2]} {2000 + n % 3},{n},{n}.5"),
        ["a year", "a month", "a day of week", "a day of year, sine", "a day of year, cosine", "a days", "b"],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_is_guessed_is_printed(row: Row, tmp_path: Path) -> None:
    spec = of(row.content, tmp_path, f"data.target={row.target}", *row.more)
    head, *lines = inputs.reading(spec, study.load_data(spec)).splitlines()
    notes = [line for line in lines if not line.startswith(("  ", "warning: "))]  # the columns by role
    rows = loading.rows(spec)
    assert list(rows.input_names) == list(row.inputs)
    assert row.text in head
    assert len(notes) == len(row.notes), notes
    assert [part for part, note in zip(row.notes, notes, strict=True) if part not in note] == [], notes
    if row.first:
        np.testing.assert_array_equal(rows.x[: len(row.first), 0], np.float32(row.first))


def test_a_parquet_files_row_labels_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(20), "y": np.arange(20) * 1.5}, index=pd.Index(range(0, 40, 2)).drop_duplicates())
    frame.index = pd.Index(np.random.default_rng(0).permutation(20))
    frame.to_parquet(tmp_path / "t.parquet")
    spec = study.compose(["data=table", f"data.path={tmp_path / 't.parquet'}", "data.target=y", "training.batch_size=4"])
    assert loading.rows(spec).input_names == ("a",)
    assert "left out as row labels: '__index_level_0__'" in inputs.reading(spec, study.load_data(spec))


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_any_kind_of_text_in_a_parquet_file_is_text(kind: str, tmp_path: Path) -> None:
    towns = pa.array(["Bonn", "Köln"] * 10).cast(getattr(pa, kind)())
    parquet.write_table(pa.table({"town": towns, "y": np.arange(20) * 1.5}), tmp_path / "t.parquet")
    assert tables.read(UserTable(path=str(tmp_path / "t.parquet"), target="y")).input_names == (
        "town=Bonn",
        "town=Köln",
    )


WORDS = {
    "gb18030": ("城市", "北京", "上海", "广州"),
    "cp932": ("都市", "東京", "さっぽろ", "コーヒー"),
    "euc_jp": ("都市", "東京", "さっぽろ", "コーヒー"),
    "cp949": ("도시", "서울", "부산", "대구"),
    "big5": ("城市", "台北", "高雄", "臺南"),
    "cp1251": ("город", "Москва", "Казань", "Самара"),
    "koi8_r": ("город", "Москва", "Казань", "Самара"),
    "cp1253": ("πόλη", "Αθήνα", "Πάτρα", "Βόλος"),
    "cp1250": ("miasto", "Łódź", "Kraków", "Wrocław"),
    "cp1252": ("Größe", "Köln", "Besançon", "Århus"),
}


@pytest.mark.parametrize("encoding_", WORDS)
@pytest.mark.parametrize("repeats", [1, 30])
def test_an_older_encoding_is_known_by_its_letters(encoding_: str, repeats: int, tmp_path: Path) -> None:
    head, *words = WORDS[encoding_]
    rows = "".join(f"{word},{number}\n" for number, word in enumerate(words * repeats))
    (tmp_path / "t.csv").write_bytes(f"{head},y\n{rows}".encode(encoding_))
    assert table_text.older_encoding(str(tmp_path / "t.csv")) == encoding_
    table = UserTable(path=str(tmp_path / "t.csv"), target="y")
    assert list(tables.read(table).input_names) == [f"{head}={word}" for word in sorted(words)]


@pytest.mark.parametrize("text", ["price €", "25 °C", "Århus", "naïve"])
def test_a_few_signs_amid_english_are_western(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(f"a,y\n{text},1\nb,2\n".encode("cp1252"))
    assert table_text.older_encoding(str(tmp_path / "t.csv")) == "cp1252"


@pytest.mark.parametrize("most", ["utf-8", "cp1252"])
def test_a_file_in_two_encodings_is_refused_by_its_line(most: str, tmp_path: Path) -> None:
    other = {"utf-8": "cp1252", "cp1252": "utf-8"}[most]
    content = lines("town,y", lambda n: f"{['Köln', 'Bonn'][n % 2]},{n}.5", 20).encode(most) + "Köln,3.5\n".encode(other)
    with pytest.raises(BadInput) as refused:
        of(content, tmp_path)
    line = 22 if most == "utf-8" else 2
    assert f"line {line}" in str(refused.value) and "'Köln" in str(refused.value)
    assert str(refused.value).endswith("for all: cp1252")
    # Köln is two levels now, as was asked for
    assert loading.rows(of(content, tmp_path, "data.encoding=cp1252")).input_names == ("town=Bonn", "town=KÃ¶ln", "town=Köln")


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (["a,b", "1,2"], True),
        (["5.1,3.5,setosa", "4.9,3.0,setosa", "6.1,2.9,virginica"], False),
        (["1,0,3,male", "0,1,3,female", "1,1,2,male"], False),
        (["p,x,s", "e,x,s", "p,x,y", "e,b,s"], False),
        (["type,city", "u,Bonn", "v,Bonn"], True),
        (["x1,x2,y", "1,2,n", "3,4,y"], True),
        (["0,1,2", "5.1,3,4", "2,3,4"], True),
        (["2000,2010,2020", "5,3,4", "2,3,4"], True),
        (["name,2019", "anna,5", "bob,7"], True),
        (["7,3,9", "5,3,4", "2,3,4"], False),
        (["a,b"], True),
        (["2020-01-01,5", "2020-01-02,7"], False),
        ([",a", "0,5", "1,7"], True),
        (["a,b", "1,x", "a,b", "2,y"], True),
    ],
)
def test_names_are_unlike_the_rows_below(rows: list[str], names: bool) -> None:
    assert table_text.holds_names([row.split(",") for row in rows]) == names


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("1,234", ".", 1234),
        ("1,234", ",", 1.234),
        ("12,345,678.5", ".", 12345678.5),
        ("1.234.567,5", ",", 1234567.5),
        ("-$1,200", ".", -1200),
        ("$-5", ".", -5),
        ("−5 €", ".", -5),
        ("12.5%", ".", 12.5),
        ("1e3", ".", 1000),
        ("0,123", ".", None),
        ("1,23", ".", None),
        ("1,2345", ".", None),
        ("1,234'567", ".", None),
        ("$5 €", ".", None),
        ("1.5", ",", None),
        ("A1", ".", None),
        ("1-2", ".", None),
    ],
)
def test_numbers_are_read_as_they_are_written(text: str, decimal: str, value: float | None) -> None:
    found = number_texts.read(text, decimal)
    assert (found and found.value) == value


@pytest.mark.parametrize(
    ("texts", "slips"),
    [
        (["1,200", "950", "$3"], []),
        (["12%", "5 %"], []),
        (["12%", "5 %", "0.5"], ["0.5"]),
        (["$5", "$6", "€7"], ["€7"]),
        (["1,200", "1,300", "1'300"], ["1'300"]),
    ],
)
def test_numbers_of_a_column_are_written_alike(texts: list[str], slips: list[str]) -> None:
    assert number_texts.slips(texts, ".") == slips


NAMES = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=8) | st.text(st.sampled_from(r""" \"'${}a=,[]()1"""))


@given(st.lists(NAMES, min_size=1, max_size=3, unique=True))
@settings(UNTIMED, max_examples=20)  # Hydra takes a tenth of a second for each
def test_any_columns_can_be_left_out_by_a_pasted_hint(names: list[str]) -> None:
    composed = composition.compose_config(["data=table", *shlex.split(tables.drop_hint(names))])
    assert list(composed.data.drop) == names


HINT = re.compile(r"""'data\.[^']*'|"data\.[^"]*"|data\.\w+=[\w.]+(?: data\.\w+=[\w.]+)*""")
MANY_NAMES = ",".join(f'"text {place}"' for place in range(49))
DEAD_ENDS = [
    lines("a,b,y", lambda n: f"{n},{n or 'inf'},{n}.5"),
    lines('a,"b=""x"" {$}, it\'s",y', lambda n: f"{n},{n or 'inf'},{n}.5").replace("'", "’"),
    lines(f'{MANY_NAMES},"",y', lambda n: ",".join([str(n or "inf")] * 49 + [str(n), f"{n}.5"])),
    lines("a;y", lambda n: f"{n},25;{n},5"),
    lines("a;y", lambda n: f"{n};1.{n + 100},50 €"),
    lines("a,y", lambda n: f"{n if n % 9 else -999},{n}.5"),
    lines("a,y", lambda n: f"{n},{n % 2}.0"),
    lines("a,b,y", lambda n: f"{n},{n % 5 + 1}/{n % 7 + 1}/2020,{n}.5"),
    lines(",a,y", lambda n: f"{n},{n % 7},{n}.5"),
    lines("a,y", lambda n: f'"{n * 40 + 500:,}",{n}.5'),
]


@pytest.mark.parametrize("content", DEAD_ENDS)
def test_a_printed_hint_leads_on(content: str, tmp_path: Path) -> None:
    given_, seen = list[str](), list[str]()
    for _ in range(5):
        try:
            spec = of(content, tmp_path, *given_)
            text = inputs.reading(spec, study.load_data(spec))
            done = True
        except BadInput as bad:
            text, done = str(bad), False
        hints = [hint for hint in HINT.findall(text) if hint not in seen]
        if done and not hints:
            break
        assert hints, f"no way on from {text}"
        seen.append(hints[0])
        given_ += shlex.split(hints[0])
    else:
        pytest.fail(f"no way on from {text}")
    assert seen


def test_a_hint_keeps_what_was_left_out_before(tmp_path: Path) -> None:
    content = lines("a,b,c,y", lambda n: f"{n},{n or 'inf'},{n or 'inf'},{n}.5")
    with pytest.raises(BadInput, match=re.escape("'data.drop=[b,c]'")):
        study.load_data(of(content, tmp_path, "data.drop=[b]"))
    content = lines("a,y", lambda n: f"{n if n % 9 else -999},{n}.5")
    spec = of(content, tmp_path, "data.gaps=[unknown]")
    assert "'data.gaps=[unknown,-999]'" in inputs.reading(spec, study.load_data(spec))


def test_many_faults_give_one_line_to_paste(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as bad:
        study.load_data(of(DEAD_ENDS[2], tmp_path))
    assert len(bad.value.faults) == 10 and str(bad.value).count("data.drop") == 1
    assert "40 more such columns" in str(bad.value)


@pytest.mark.parametrize("text", ["$1,200", "1.200,50 EUR", "twelve"])
def test_a_text_as_target_is_not_sent_in_a_circle(text: str, tmp_path: Path) -> None:
    content = lines("a,y", lambda n: f'{n},"{text} {n}"')
    for task in ("auto", "regression", "classification"):
        with pytest.raises(BadInput) as bad:
            study.load_data(of(content, tmp_path, f"data.task={task}"))
        assert "data.task" not in str(bad.value)
        assert "valid: a column of classes, or of numbers alone" in str(bad.value)


def test_new_rows_are_read_as_the_table_was(tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    made_up = ("column_1", "column_2", "column_3")
    source = UserTable(path=str(new), target="column_1", header=False)
    for content in ("7,1.5,u\n8,2.5,v\n", "1.5,u\n2.5,v\n", "column_2,other,column_3\n1.5,9,u\n2.5,9,v\n"):
        new.write_text(content)
        found = readers.values(source, {"column_2", "column_3"}, ["column_3"], made_up)
        assert {name: column.tolist() for name, column in found.items()} == {"column_2": [1.5, 2.5], "column_3": ["u", "v"]}
    new.write_text("1.5\n2.5\n")
    with pytest.raises(BadInput, match="3 columns without names, as in training, or 2 without the target"):
        readers.values(source, {"column_2"}, [], made_up)
    new.write_text(',a,b,\n0,-999,"1,200",\n1,5,950,\n')
    found = readers.values(UserTable(path=str(new), target="y", header=True, gaps=(-999,)), {"a", "b"}, [])
    np.testing.assert_equal({name: column.tolist() for name, column in found.items()}, {"a": [np.nan, 5], "b": [1200, 950]})
    columns = encoding.without_gaps({"a": np.array([-999, 5]), "b": np.array(["?", " u"], object)}, (-999, "?"))
    table = [TableColumn("a", gaps=True), TableColumn("b", LEVELS, ("u",), gaps=True)]
    np.testing.assert_equal(encoding.encode(table, columns), [[np.nan, 0], [5, 1]])


def test_later_settings_leave_the_identity_of_earlier_studies(tmp_path: Path) -> None:
    content = lines("a,y", lambda n: f"{n},{n}.5")
    usual, other = of(content, tmp_path), of(content, tmp_path, "data.index=keep", "data.thousands=','")
    names = (
        "decimal",
        "thousands",
        "header",
        "index",
        "gaps",
        "test_path",
        "split",
        "group",
        "time",
        "columns",
        "soft_clip",
        "fourier",
        "quote",
        "skip",
        "sheet",
        "sql",
        "weight",
        "class_weight",
        "threshold",
    )
    later = {f"data.{name}" for name in names} | {"replicates.per_split", "training.motion"}
    assert set(flat(usual)) - set(identifying(usual)) == later
    assert later & set(identifying(other)) == {"data.index", "data.thousands"}
    as_before = of(content, tmp_path, "data.roles=types", "data.encode=onehot", "data.min_count=1", "data.clip=null")
    more = {"data.roles", "data.encode", "data.min_count", "data.clip"}
    assert set(flat(as_before)) - set(identifying(as_before)) == later | more
