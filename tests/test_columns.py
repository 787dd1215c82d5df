"""Columns of a table: the role of each, what it becomes, and that a champion makes the same of new rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import study
from study.analysis import forward
from study.data import dates, encoding, inputs, loading, scaling, shapes, splits, target_codes
from study.data.encoding import NewInRows
from study.engine import export
from study.errors import BadInput
from study.records.network import Network
from study.settings.spec import TrialSpec
from study.tracking import predicting

N = 120
TOWNS = [f"town {number % 60}" for number in range(N)]
# what a cell of the column holds, its role, part of what the block says, and the inputs that it becomes
ROLES: list[tuple[str, Callable[[int], object], str, str, Sequence[str]]] = [
    ("size", lambda n: n % 7 + 0.5, "number", "size", ["size"]),
    ("price", lambda n: f'"$1,{n % 10}00"', "number", "price", ["price"]),
    ("gaps", lambda n: n % 7 + 0.5 if n % 5 else "", "number", "gaps (24 missing)", ["gaps", "gaps=(missing)"]),
    (
        "zip",
        lambda n: 10000 + n % 9,
        "number",
        "9 whole numbers; if they are categories: 'data.columns=[\"zip: category\"]'",
        ["zip"],
    ),
    (
        "patientId",
        lambda n: n % 30,
        "number",
        "'data.columns=[\"patientId: category\"]'; if the rows of one belong together: data.split=group data.group=patientId",
        ["patientId"],
    ),
    ("seconds", lambda n: 1_700_000_000 + n % 50, "number", "seconds (minus 1700000000)", ["seconds"]),
    ("pool", lambda n: ["yes", "no"][n % 2], "boolean", "pool (1 is yes)", ["pool=yes"]),
    ("member", lambda n: ["true", "false"][n % 2], "boolean", "member", ["member=True"]),
    ("heat", lambda n: "gaso"[n % 3 :], "category", "heat (3 levels)", ["heat=aso", "heat=gaso", "heat=so"]),
    ("rare", lambda n: f"r{n}" if n < 3 else "ab"[n % 2], "category", "2 levels, 3 others", ["rare=a", "rare=b", "rare=(other)"]),
    ("hole", lambda n: "ab"[n % 2] if n % 3 else "", "category", "(40 missing; 2", ["hole=a", "hole=b", "hole=(missing)"]),
    ("town", lambda n: TOWNS[n], "category, by target", "town (60 levels)", ["town"]),
    ("day", lambda n: f"2024-{n % 9 + 1:02}-03", "date", "2024-01-03 to 2024-09-03", None),
    ("when", lambda n: f"{n % 28 + 1}.{n % 12 + 1}.19{n % 50 + 40}", "date", "written %d.%m.%Y", None),
    ("us", lambda n: f"{n % 12 + 1}/{n % 28 + 1}/2020", "date", "written %m/%d/%Y", None),
    ("id", lambda n: n, "left out", "id (row numbers: 0, 1, …)", []),
    ("orderId", lambda n: 7 * n * n, "left out", "orderId (an identifier: 0, 7, …)", []),
    ("key", lambda n: f"k{n}", "left out", "key (an identifier: 120 different texts in 120 rows, such as 'k0')", []),
    ("note", lambda n: f"some words of row {n // 1.5}", "left out", "note (free text: ", []),
    ("same", lambda n: "Bonn", "left out", "same (always 'Bonn')", []),
    ("none", lambda n: "", "left out", "none (empty)", []),
    ("serial", lambda n: n, "number", "serial", ["serial"]),
]


def of(folder: Path, cells: dict[str, Sequence[object]], *more: str) -> TrialSpec:
    rows = zip(*cells.values(), range(N), strict=True)
    lines = [",".join(map(str, (*row[:-1], f"{row[-1] % 17}.5"))) for row in rows]
    (folder / "t.csv").write_text("\n".join([",".join([*cells, "y"]), *lines]) + "\n")
    return study.compose(["data=table", f"data.path={folder / 't.csv'}", "data.target=y", "training.batch_size=8", *more])


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    """The rows of a table with all columns, and the lines of its block by role."""
    spec = of(tmp_path_factory.mktemp("roles"), {name: [cell(n) for n in range(N)] for name, cell, *_ in ROLES}, "data.min_count=2")
    rows = loading.rows(spec)
    return rows, {line[2:21].strip(): line for line in rows.block}


@pytest.mark.parametrize(("name", "role", "text", "wanted"), [(row[0], *row[2:]) for row in ROLES], ids=[row[0] for row in ROLES])
def test_a_columns_role_is_found_out_and_printed(name: str, role: str, text: str, wanted: Sequence[str] | None, known: Any) -> None:
    rows, block = known
    assert text in block[role] or "…" in block[role]
    (made,) = [column for column in rows.columns if column.name == name] or [None]
    if wanted is not None:
        assert [input_ for input_, _ in made.inputs if made] == wanted if made else wanted == []
    else:
        assert made.role == encoding.DATE


def test_a_role_can_be_said(tmp_path: Path) -> None:
    cells: dict[str, Sequence[object]] = {"zip": [f"0{n % 3}" for n in range(N)]}
    cells |= {"us": [f"{n % 12 + 1}/{n % 9 + 1}/2020" for n in range(N)], "id": list(range(N)), "out": list(range(N))}
    said = 'data.columns=["zip: category","us: date %m/%d/%Y","id: number","out: drop"]'
    rows = loading.rows(of(tmp_path, cells, said))
    zip_, us, id_ = rows.columns
    assert zip_.levels == ("00", "01", "02") and us.written == "%m/%d/%Y" and (id_.role, id_.high) == (encoding.NUMBER, N - 1)
    mapping = loading.rows(of(tmp_path, cells, "data.columns={zip: category, id: number, out: drop}"))
    assert [column.name for column in mapping.columns] == ["zip", "us", "id"] and mapping.columns[1].written == "%d/%m/%Y"
    for wrong, valid in [("{zip: text}", "category"), ("{zap: drop}", "did you mean zip"), ("{y: drop}", "other than the target")]:
        with pytest.raises(BadInput, match=valid):
            study.load_data(of(tmp_path, cells, f"data.columns={wrong}"))


def test_by_types_alone_a_table_is_what_earlier_versions_made_of_it(tmp_path: Path) -> None:
    cells: dict[str, Sequence[object]] = {"id": list(range(N)), "pool": [["yes", "no"][n % 2] for n in range(N)]}
    as_before = ["data.roles=types", "data.encode=onehot", "data.min_count=1", "data.clip=null", "data.missing=mean"]
    rows = loading.rows(of(tmp_path, cells, *as_before))
    assert rows.input_names == ("id", "pool=no", "pool=yes")
    np.testing.assert_array_equal(rows.x[:2], [[0, 0, 1], [1, 1, 0]])


def test_the_parts_of_a_date_are_its_calendar() -> None:
    times = np.array(["2024-02-29T06:00", "1969-12-31", "NaT"], "datetime64[us]")
    year, month, weekday, sine, cosine, hour_sine, hour_cosine, days = dates.parts(times, dates.PARTS).T
    np.testing.assert_allclose([year[:2], month[:2], weekday[:2], days[:2]], [[2024, 1969], [2, 12], [3, 2], [19782.25, -1]])
    np.testing.assert_allclose([sine[0], cosine[0]], [np.sin(2 * np.pi * 59 / 365.25), np.cos(2 * np.pi * 59 / 365.25)])
    np.testing.assert_allclose([hour_sine[0], hour_cosine[0], hour_cosine[1]], [1, 0, 1], atol=1e-12)
    assert np.isnan(dates.parts(times, dates.PARTS)[2]).all()
    assert dates.notations(["3/4/2020", "12/11/2020"]) == ["%d/%m/%Y", "%m/%d/%Y"]
    assert dates.notations(["3/14/2020", "12/11/2020"]) == ["%m/%d/%Y"]
    assert dates.notations(["Jan 2020", "May 2021"]) == ["%b %Y"] and dates.notations(["n/a"]) == []
    assert dates.mixed(["2024-01-31", "3/4/2020"]) == ["%Y-%m-%d or %d/%m/%Y", "%Y-%m-%d or %m/%d/%Y"]
    assert dates.mixed(["2024-01-31", "31/4/2020"]) == dates.mixed(["2024-01-31", "soon"]) == dates.mixed(["2024-01-31"]) == []


def test_dates_in_two_notations_are_read_where_they_are_said_to_be_dates(tmp_path: Path) -> None:
    days = [f"{n % 28 + 1:02}/{n % 12 + 1:02}/2020" if n % 3 else f"2021-{n % 12 + 1:02}-{n % 28 + 1:02}" for n in range(N)]
    cells: dict[str, Sequence[object]] = {"when": days, "b": [n % 7 for n in range(N)]}
    rows = loading.rows(of(tmp_path, cells))
    [note] = [note for note in rows.notes if "several notations" in note]
    hint = "'data.columns=[\"when: date\"]'"
    assert note == f"dates in several notations, %d/%m/%Y or %Y-%m-%d, not read as dates: when (to read them: {hint})"
    rows = loading.rows(of(tmp_path, cells, hint.strip("'")))
    [column] = [column for column in rows.columns if column.role == encoding.DATE]
    assert column.written == "%d/%m/%Y or %Y-%m-%d" and not [note for note in rows.notes if "several" in note]
    at = rows.input_names.index("when days")
    expected = pd.to_datetime(pd.Series(days[:9]), format="mixed", dayfirst=True)
    np.testing.assert_allclose(np.diff(rows.x[:9, at]), expected.diff().dt.days[1:])


def test_levels_by_target_are_those_of_other_rows() -> None:
    draw = np.random.default_rng(0)
    codes, y = draw.integers(0, 300, 600), draw.normal(size=600)
    learned = target_codes.learn(codes, 302, y[:, None])
    # of noise, a level's own targets would seem to explain much
    assert abs(np.corrcoef(learned.train[:, 0], y)[0, 1]) < 0.15 < np.corrcoef(learned.table[codes, 0], y)[0, 1]
    np.testing.assert_allclose(learned.table[300:, 0], y.mean())


@pytest.mark.parametrize("kind", ["log", "power", "quantile"])
def test_a_curve_is_undone_within_training_and_beyond(kind: str) -> None:
    column = np.random.default_rng(1).lognormal(size=300)
    shape = shapes.learn(kind, column, flag=False)
    assert shape is not None
    bent = shapes.bent(shape, column)
    assert abs(pd.Series(bent).skew()) < 0.3
    np.testing.assert_allclose(shapes.unbent(shape, bent), column, rtol=1e-6)
    assert np.isfinite(shapes.unbent(shape, np.array([-50.0, 50.0]))).all()
    assert (np.diff(shapes.bent(shape, np.linspace(0.01, 50, 500))) >= 0).all()


def test_one_value_can_not_ruin_a_column(tmp_path: Path) -> None:
    cells = {"a": [1e12 if n == 5 else n % 10 for n in range(N)], "b": [n % 3 for n in range(N)]}
    spec = of(tmp_path, cells)
    a = study.load_data(spec).x_train[:, 0]
    assert np.median(np.abs(a - np.median(a))) > 0.1
    assert "brought nearer (data.clip=null keeps them): a (1 beyond" in inputs.reading(spec, study.load_data(spec))
    everything = ["data.clip=null", "data.validation_fraction=0.01", "data.test_fraction=0"]
    ruined = study.load_data(of(tmp_path, cells, *everything)).x_train[:, 0]
    assert np.median(np.abs(ruined - np.median(ruined))) < 1e-9


def test_a_log_of_a_target_that_is_not_positive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "\n".join(f"{n % 7},{n - 3}" for n in range(60)))
    table = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y", "training.batch_size=4"]
    with pytest.raises(BadInput, match="isn't positive in row 1 \\(first of 4\\)"):
        study.load_data(study.compose([*table, "data.normalise_target=log"]))


MIXED: dict[str, Sequence[object]] = {
    "size": [round(float(np.exp(n % 23 / 5)), 3) if n % 6 else "" for n in range(N)],
    "town": TOWNS,
    "heat": ["gaso"[n % 3 :] for n in range(N)],
    "day": [f"2024-{n % 9 + 1:02}-03" for n in range(N)],
}
WAYS = [
    [],
    ["data.normalise=quantile", "data.normalise_target=quantile"],
    ["data.normalise=power", "data.normalise_target=power", "data.soft_clip=3"],
    ["data.normalise=robust", "data.normalise_target=log", "data.encode=target", "data.soft_clip=2"],
    ["data.target=heat", "data.missing=mean", "data.encode=target", "data.drop=[y]"],
    ["data.fourier=true", "data.encode=target"],
    ["data.fourier=true", "data.normalise=none", "data.missing=mean", "data.target=heat", "data.drop=[y]"],
]


@pytest.mark.parametrize("more", WAYS, ids=str)
def test_a_champion_makes_of_rows_what_training_made_of_them(more: list[str], tmp_path: Path) -> None:
    tiny = ["model.units=[3]", "training.epochs=1", "replicates.count=2", "replicates.vary=[init,data]", "replicates.per_split=1"]
    spec = of(tmp_path, MIXED, *tiny, *more)
    rows, numbers = loading.rows(spec), spec.replicates.numbers
    draw = np.random.default_rng(0)
    first = study.load_data(spec)
    sizes = first.layer_sizes(spec)
    assert len(first.input_names) == sizes[0]
    kernels = [draw.normal(size=(2, below, above)).astype(np.float32) / 3 for below, above in itertools.pairwise(sizes)]
    biases = [draw.normal(size=(2, above)).astype(np.float32) for above in sizes[1:]]
    both = Network.of_layers(kernels, biases).unstack()
    scalings = [scaling.learn_scaling(spec, number) for number in numbers]
    model = export.predictor(spec, both, scalings)
    model.save(tmp_path / "model.keras")
    members = predicting.networks(export.load_predictor(tmp_path / "model.keras"))
    _, _, test = splits.tested_parts(spec)
    frame = pd.read_csv(tmp_path / "t.csv").iloc[test]
    table = {name: frame[name].astype(object).where(frame[name].notna(), None).to_numpy() for name in MIXED if name in frame}
    x = encoding.encode(encoding.from_plain(encoding.plain(rows.columns)), table)
    np.testing.assert_allclose(x, rows.x[test], rtol=1e-6)
    predicted = members(x)
    for at, number in enumerate(numbers):
        seen, targets = scaling.tested_by(spec, number)
        wanted = forward.layer_outputs(Network.stack([both[at]]), seen, spec.model)[-1][0].astype(float)
        wanted = scaling.in_units(targets, wanted) if targets else forward.probabilities(wanted)
        np.testing.assert_allclose(predicted[:, at], wanted[:, -predicted.shape[2] :], rtol=2e-4, atol=1e-5)


def test_new_rows_may_hold_what_training_never_saw(tmp_path: Path) -> None:
    rows = loading.rows(of(tmp_path, MIXED))
    table = {
        "size": np.array([5.0, 1e6, -1]),
        "town": np.array(["town 1", "elsewhere", None], object),
        "heat": np.array(["gaso", "peat", "peat"], object),
        "day": np.array(["2024-02-03", "2031-02-03", None], object),
    }
    with pytest.warns(NewInRows) as news:
        x = encoding.encode(rows.columns, table)
    assert x.shape == (3, len(rows.kinds))
    told = [str(notice.message) for notice in news]
    assert told == [
        "size: 2 rows have numbers outside those of training, 1 to 81.451, such as 1e+06",
        "town: 1 row has 'elsewhere' (not seen in training), taken as other",
        "town: 1 row has no value, though training had no gaps: filled as in training",
        "heat: 2 rows have 'peat' (not seen in training), taken as other",
        "day: 1 row has no value, though training had no gaps: filled as in training",
    ]
    with pytest.raises(BadInput, match="'soon' in row 1"):
        encoding.encode(rows.columns, table | {"day": np.array(["soon", None, None], object)})


def test_texts_taken_for_gaps_are_printed_and_can_be_kept(tmp_path: Path) -> None:
    cells: dict[str, Sequence[object]] = {"continent": [["NA", "EU", "AS"][n % 3] for n in range(N)]}
    cells |= {
        "area": [n % 7 if n % 6 else "?" for n in range(N)],
        "price": [f'"$1,{n % 9}00"' if n % 8 else "NA" for n in range(N)],
    }
    spec = of(tmp_path, cells)
    told = "taken for missing values: continent 'NA' (40 rows), area '?' (20 rows), price 'NA' (15 rows)"
    assert told in inputs.reading(spec, study.load_data(spec))
    assert loading.rows(spec).columns[0].inputs[-1][0] == "continent=(missing)"
    gaps = loading.rows(spec).columns[:1]
    kept = loading.rows(of(tmp_path, cells, "data.columns={continent: category}"))
    assert kept.columns[0].levels == ("AS", "EU", "NA") and not kept.columns[0].gaps
    assert encoding.encode(gaps, {"continent": np.array(["NA", "EU"], object)}).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert encoding.encode(kept.columns[:1], {"continent": np.array(["NA", "EU"], object)}).tolist() == [[0, 0, 1], [0, 1, 0]]
