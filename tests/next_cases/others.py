"""Columns by name, in any order, for a study's champion; and networks side by side."""

from __future__ import annotations

import random

from tests.next_cases import Case

TINY = ("--multirun", "training.epochs=2", "replicates.count=2", "model.units=[4]")


def flats(target: str) -> str:
    """A table with a text, numbers, truth values, gaps in one column (`built`), and a price or whether it is dear."""
    draw = random.Random(0)
    lines = [f"district,area,new,built,{target}"]
    for number in range(60):
        district, area, new = draw.choice(["Centre", "North"]), draw.randint(20, 120), draw.random() > 0.5
        built = "" if number % 7 == 0 else str(draw.randint(1900, 2020))
        price = area * (12 + 6 * (district == "Centre")) + 100 * new
        lines.append(
            f"{district},{area},{str(new).lower()},{built},{price if target == 'rent' else 'yes' if price > 1000 else 'no'}"
        )
    return "\n".join(lines) + "\n"


def trained(target: str, name: str = "flats") -> tuple[str, ...]:
    """The command of a study on `flats`."""
    table = ("data=table", "data.path=flats.csv", f"data.target={target}", "data.missing=median", "training.batch_size=8")
    return (*TINY, *table, "optimizer=adam,sgd", f"hydra.sweeper.study_name={name}")


def rents(
    name: str,
    new: str,
    shows: tuple[str, ...],
    code: int = 0,
    hides: tuple[str, ...] = (),
    study: str = "flats",
    long: bool = False,
) -> Case:
    """What is predicted for the rows of a file, new.csv, or why not."""
    files = {"flats.csv": flats("rent"), "new.csv": new}
    return Case(name, (trained("rent", study), ("predict", study, "new.csv")), shows, hides, code, files, long)


IRIS = (*TINY, "data=iris", "optimizer=adam,sgd", "hydra.sweeper.study_name=iris")
FLOWER = "petal width (cm),petal length (cm),sepal width (cm),sepal length (cm)\n0.2,1.4,3.5,5.1\n"

CASES = [
    rents("columns in another order, one more, one with gaps", "id,built,new,area,district\n1,,true,60,North\n", ("rent",)),
    rents("a column is missing", "area,new,built\n60,true,1990\n", ("no column 'district'", "valid: area, new, built"), 2),
    rents(
        "a name in capitals is another name",
        "Area,district,new,built\n60,North,true,1990\n",
        ("no column 'area'", "did you mean Area?"),
        2,
    ),
    rents(
        "two columns with one name", "area,area,district,new,built\n6,60,North,true,1990\n", ("several columns named 'area'",), 2
    ),
    rents(
        "a text among numbers, and new levels",
        "area,district,new,built\nbig,Nort,perhaps,1990\n",
        ("column 'area': 'big' in row 1",),
        2,
        ("Traceback",),
    ),
    rents(
        "a gap where training had none is no number",
        "area,district,new,built\n,North,true,1990\n60,North,true,1990\n",
        ("rent,SD over members , ",),
    ),
    rents("whole numbers with a point, and truth values in capitals", "area,district,new,built\n60.0,North,TRUE,\n", ("rent",)),
    rents("a file of names alone", "area,district,new,built\n", ("rent",)),
    rents("a study whose name needs quotes", "built,area,new,district\n,60,false,Centre\n", ("rent",), study="my flats", long=True),
    Case(
        "both classes by name, although the network has one output",
        (
            (*trained("dear"), "loss=binary_crossentropy"),
            ("predict", "flats", "new.csv"),
        ),
        ("predicted class,its probability,SD over members,no,yes ",),
        files={"flats.csv": flats("dear"), "new.csv": "new,district,built,area\ntrue,North,1990,60\n"},
        long=True,
    ),
    Case(
        "bundled data have column names too",
        (IRIS, ("predict", "iris", "new.csv")),
        ("predicted class,its probability,SD over members,setosa,versicolor,virginica ",),
        files={"new.csv": FLOWER},
        long=True,
    ),
    Case(
        "bundled data with a column under another name",
        (IRIS, ("predict", "iris", "new.csv")),
        ("no column 'petal width (cm)'",),
        ("did you mean sepal",),
        2,
        {"new.csv": FLOWER.replace("petal width (cm)", "petal width")},
        long=True,
    ),
    Case(
        "the same command again keeps the champion",
        (IRIS, IRIS, ("predict", "iris", "new.csv")),
        ("predicted class,its probability,SD over members,setosa,versicolor,virginica ",),
        files={"new.csv": FLOWER},
        long=True,
    ),
    Case(
        "of 13 networks the diagonal doesn't count",
        ((*IRIS, "replicates.count=13"), ("compare", "iris/0")),
        ("13 different fingerprints among 13 networks", "mean of the pairs least most"),
        ("% 0.00", "─ 0.00"),
        long=True,
    ),
    Case(
        "settings are rounded, where they stay different",
        (
            (*TINY, "data=iris", "optimizer.learning_rate=0.0006253774085588485,0.02", "hydra.sweeper.study_name=rates"),
            ("compare", "rates/0", "rates/1"),
        ),
        ("0.000625", "0.0200"),
        ("0.00062537",),
        long=True,
    ),
    Case(
        "settings that differ in their sixth digit aren't rounded to one",
        (
            (*TINY, "data=iris", "optimizer.learning_rate=0.0123451,0.0123452", "hydra.sweeper.study_name=rates"),
            ("compare", "rates/0", "rates/1"),
        ),
        ("0.0123451", "0.0123452"),
        long=True,
    ),
]
