"""Tables of the user's own, as they come from spreadsheets, pandas, R and elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from tests.next_cases import Case

FAST = ("training.epochs=2", "replicates.count=2", "model.units=[4]", "training.batch_size=8", "tracking=none")
TABLE = ("data=table", "data.path=t.csv", "data.target=y", *FAST)


def lines(head: str, row: Callable[[int], str], count: int = 40) -> str:
    return "\n".join([head, *map(row, range(count))]) + "\n"


def case(
    name: str,
    content: str | bytes,
    *shows: str,
    hides: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
    code: int = 0,
    long: bool = False,
) -> Case:
    return Case(name, ((*TABLE, *more),), shows, hides, code, {"t.csv": content}, long)


CASES = [
    case(
        "R's row names are no input",
        lines('"","a","y"', lambda n: f'"row {n}",{n % 7},{n}.5'),
        "1 input number a left out as row labels: the first column, which has no name (data.index=keep keeps them as an input)",
        long=True,
    ),
    case(
        "row labels of a reset index, saved twice",
        lines("Unnamed: 0.1,Unnamed: 0,a,y", lambda n: f"{n},{n},{n % 7},{n}.5"),
        "1 input number a left out as row labels: 'Unnamed: 0.1', 'Unnamed: 0'",
    ),
    case(
        "labels on the left and a delimiter on the right",
        lines(";a;y;", lambda n: f"{n};{n % 7};{n}.5;"),
        "1 input number a delimiter ';'",
        "left out as row labels",
        "left out: 1 column without a name and without values",
    ),
    case(
        "two columns without a name that both hold something",
        lines("a,,,y", lambda n: f"{n},{n % 3},{n % 5},{n}.5"),
        "data.path: got \"several columns named ''\"; valid: a unique name for each column",
        code=2,
    ),
    case(
        "no names, only texts",
        lines("p,x,e", lambda n: ",".join(["pfk"[n % 3], "xs"[n % 2], "ep"[n % 2]])),
        "classification of column_3, 2 classes: e, p",
        "the columns are named column_1 to column_3 (data.header=true reads it as names)",
        more=("data.target=column_3",),
        long=True,
    ),
    case(
        "numbers that pandas gave as names",
        lines("0,1,2", lambda n: f"{n}.5,{n % 7},{n}.25"),
        "regression of 2; 2 inputs number 0, 1",
        hides=("data.header", "column_1"),
        more=('data.target="2"',),
        long=True,
    ),
    case(
        "Japanese, saved by Excel",
        lines("都市,y", lambda n: f"{['東京', '大阪'][n % 2]},{n}.5").encode("cp932"),
        "2 inputs category 都市 (2 levels) encoding cp932, as in '都市' (data.encoding)",
    ),
    case(
        "Russian",
        lines("город,y", lambda n: f"{['Москва', 'Казань'][n % 2]},{n}.5").encode("cp1251"),
        "город (2 levels) encoding cp1251, as in 'город' (data.encoding)",
    ),
    case(
        "two files in two encodings, one after the other",
        lines("town,y", lambda n: f"Köln,{n}.5", 20).encode("cp1252") + lines("Köln,7", lambda n: f"Bonn,{n}.5", 20).encode(),
        'data.encoding: got "utf-8 in 1 lines, and bytes that aren\'t utf-8 in line 2 (first of 20 such lines)"',
        "fix line 2 (first of 20 such lines), near 'Köln,0.5', or set one for all: cp1252",
        code=2,
    ),
    case(
        "two currencies in a column",
        lines("a,y", lambda n: f"{'€' if n == 7 else '$'}{n + 1},{n}.5"),
        "data.path: got \"column 'a': '€8' among numbers, row 8\"",
        "or leave it out: 'data.drop=[a]'",
        code=2,
    ),
    case(
        "francs with apostrophes between thousands",
        lines("a,y", lambda n: f"CHF{n},{n + 1}'250.50".replace("CHF", "")),
        'regression of y; 1 input number a texts read as numbers: y "1\'250.50" is 1250.5',
    ),
    case(
        "decimal commas without a mark between thousands, and no doubt",
        lines("a;y", lambda n: f"0,{n + 100};{n},5"),
        "delimiter ';'; decimal mark ','",
        hides=("thousands",),
        more=("data.decimal=','",),
    ),
    case(
        "one mark for two things",
        lines("a,y", lambda n: f"{n},{n}.5"),
        "data.thousands: got '.'; valid: a mark other than data.decimal",
        more=("data.thousands=.",),
        code=2,
    ),
    case(
        "grades with a gap marker among classes",
        lines("a,b,y", lambda n: f"{n},{9999 if n == 5 else n % 4},{n % 3 + 1}.0"),
        "classification of y, 3 classes: 1, 2, 3 (data.task=regression treats them as numbers)",
        "possible missing values: b 9999 (1 row) (if so: 'data.gaps=[9999]')",
        long=True,
    ),
    case(
        "signs that may be gaps among levels",
        lines("a,b,y", lambda n: f"{n},{'?' if n % 9 == 0 else '-' if n % 9 == 1 else 'uv'[n % 2]},{n}.5"),
        "possible missing values: b '?' (5 rows), b '-' (5 rows) (if so: 'data.gaps=[\"-\",\"?\"]')",
        more=("--dry-run",),
    ),
    case(
        "a marker that is a gap, and a text that is one",
        lines("a,b,y", lambda n: f"{-999 if n % 9 == 0 else n},{'unknown' if n % 7 == 0 else 'uv'[n % 2]},{n}.5"),
        "3 inputs number a (5 missing) category b (6 missing; 2 levels) additional missing values: -999, unknown",
        hides=("possible missing",),
        more=("data.gaps=[-999,unknown]", "data.missing=median"),
    ),
    case(
        "one patient of forty",
        lines("a,b,y", lambda n: f"{n},{n % 7},{'ill' if n == 3 else 'well'}"),
        "class with a single row, which is trained on and never validated on: ill (1)",
        "(majority 1.00)",
        hides=("AUC", "one class only"),
        more=("training.epochs=60",),
        long=True,
    ),
    case(
        "three patients of eighty",
        lines("a,b,y", lambda n: f"{n % 5},{n % 7},{'ill' if n in (3, 20, 41) else 'well'}", 80),
        "2 of 2 predict one class only",
        "accuracy 0.938 (majority 0.938)",
        hides=("class with",),
        more=("training.epochs=60", "data.test_fraction=0"),
        long=True,
    ),
    Case(
        "three patients of eighty in five folds, judged by AUC",
        (("-m", *TABLE, "data.resample=kfold", "hydra.sweeper.objective=auc", "optimizer=adam,sgd"),),
        ("hydra.sweeper.objective: got 'auc",),
        code=2,
        files={"t.csv": lines("a,b,y", lambda n: f"{n},{n % 7},{'ill' if n in (3, 20, 41) else 'well'}", 80)},
    ),
    Case(
        "new rows of a table without names, of which the first was the target",
        (
            (
                "-m",
                *TABLE,
                "data.target=column_1",
                "data.gaps=[-999]",
                "data.missing=median",
                "optimizer=adam,sgd",
                "tracking=mlflow",
                "hydra.sweeper.study_name=nameless",
            ),
            ("predict", "nameless", "new.csv", "out.csv"),
        ),
        ("out.csv: 2 rows, ",),
        files={
            "t.csv": lines(
                'no,1,"2,158",up', lambda n: f'{["yes", "no"][n % 2]},{n % 7 or -999},"{n + 1},200",{["up", "down"][n % 3 > 0]}'
            ),
            "new.csv": '5,"1,200",up\n-999,950,down\n',
        },
        long=True,
    ),
    Case(
        "a hint of four hundred columns, longer than MLflow takes a parameter",
        (
            (*TABLE, "data.drop=[" + ",".join(f"question_{n:03}_free_text" for n in range(400)) + "]", "tracking=mlflow"),
            ("data=iris", *FAST, "tracking=mlflow"),
            ("doctor",),
        ),
        ("no damage",),
        files={
            "t.csv": lines(
                ",".join([f"question_{n:03}_free_text" for n in range(400)] + ["a", "y"]),
                lambda n: ",".join([f"t{n}"] * 400 + [str(n % 7), f"{n}.5"]),
            )
        },
        long=True,
    ),
]
