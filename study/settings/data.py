"""Settings of the data: their source, and how they are split, normalised and disturbed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from study import redaction, sqlite
from study.errors import BadInput, Fault
from study.settings.rules import (
    FLAG,
    TEXT,
    THOUSANDS,
    Kind,
    Rule,
    integer,
    later,
    listing,
    number,
    one_of,
    optional,
    registry,
    setting,
)

REGRESSION, CLASSIFICATION, AUTO = "regression", "classification", "auto"
NONE, STANDARD, MINMAX, ROBUST = "none", "standard", "minmax", "robust"
LOG, POWER, QUANTILE = "log", "power", "quantile"
SPLIT, KFOLD, BOOTSTRAP = "split", "kfold", "bootstrap"
RANDOM, GROUP, TIME = "random", "group", "time"
REFUSE, MEAN, MEDIAN, MOST_FREQUENT = "refuse", "mean", "median", "most_frequent"
KEEP = "keep"
TYPES = "types"
ONEHOT, TARGET, ORDINAL = "onehot", "target", "ordinal"
NUMBER, CATEGORY, DATE, BOOLEAN, DROP = "number", "category", "date", "boolean", "drop"
ROLES = (NUMBER, CATEGORY, DATE, BOOLEAN, DROP)
MOST_RARE = 5
LARGEST = 1e37  # single precision holds values up to more than ten times this

BALANCED = "balanced"
OF_CLASSES = ("class_weight", "threshold")  # settings that don't decide which rows there are, and only classification has

ROWS, COLUMNS = integer(2, 100_000_000), integer(1, 65_536)
SD = number(0, 1e6)
SHARE = number(0, 1, below=True)
TESTED = 0.2  # share of test rows in data that aren't made by a formula
INPUT_SCALES = one_of((NONE, STANDARD, MINMAX, ROBUST, QUANTILE, POWER))
TARGET_SCALES = one_of((NONE, STANDARD, MINMAX, LOG, POWER, QUANTILE))
MOST_WEIGHT = 1e6


def _accept_class_weight(value: object) -> str:
    """Return `balanced`, or a mapping from classes to weights as JSON: settings are hashable, and a mapping isn't."""
    if value == BALANCED:
        return BALANCED
    given = json.loads(value) if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not given:
        raise ValueError
    weight = number(0, MOST_WEIGHT)
    return json.dumps({str(name): weight.accept(each) for name, each in sorted(given.items(), key=str)}, ensure_ascii=False)


# scores of predicted classes, by which a decision threshold may be chosen
THRESHOLD_SCORES = ("accuracy", "balanced_accuracy", "f1", "mcc")


def _accept_threshold(value: object) -> float | str:
    return value if isinstance(value, str) and value in THRESHOLD_SCORES else number(0, 1, above=True, below=True).accept(value)


THRESHOLD = optional(Rule(f"a number > 0 and < 1, or the score to choose it by: {', '.join(THRESHOLD_SCORES)}", _accept_threshold))
CLASS_WEIGHT = optional(
    Rule(f"{BALANCED}, or weights from 0 to {MOST_WEIGHT:g} by class, as in {{no: 1, yes: 5}}", _accept_class_weight)
)


@dataclass(frozen=True)
class Data(Kind):
    """Settings that all kinds of data share. Statistics come from the training part, and only the training part gets noise.

    normalise: each input by mean and SD, by minimum and range, by median and interquartile range, by the normal scores of its
    ranks, by the power that makes it most normal, or not at all.
    feature_noise, target_noise: SD of the normal noise on each (normalised) input and target column; for classification,
    target_noise is the share of the training labels that become another class.
    test_fraction: share of the rows, the same for all replicates and trials, that neither train nor choose: a study's end reports
    the winner's loss on them. validation_fraction: share of the others.
    resample: how the `data` seed makes a replicate's parts. 'split': `validation_fraction` of the rows, drawn anew for each seed.
    'kfold': all replicates use the same order of the rows, and replicate r validates on fold r modulo `folds`; with groups, folds
    are of whole ones, and as many rows as in the smallest validate. 'bootstrap': all
    share one validation part; as many training rows as remain are drawn with replacement for each seed.
    """

    test_fraction: float = later(0.0, SHARE)
    validation_fraction: float = setting(0.2, number(0, 1, above=True, below=True))
    normalise: str = setting(STANDARD, INPUT_SCALES)
    feature_noise: float = setting(0.0, SD)
    target_noise: float = setting(0.0, SD)
    resample: str = setting(SPLIT, one_of((SPLIT, KFOLD, BOOTSTRAP)))
    folds: int = setting(5, integer(2, 1_000_000))
    task: ClassVar[str]

    def source(self) -> Data:
        """Return these settings with the shared ones at their defaults: they decide the rows before the split."""
        shared = {field.name for field in fields(Regression)} | set(OF_CLASSES)
        return type(self)(**{field.name: getattr(self, field.name) for field in fields(self) if field.name not in shared})


@dataclass(frozen=True)
class Regression(Data):
    task = REGRESSION
    normalise_target: str = setting(STANDARD, TARGET_SCALES)


@dataclass(frozen=True)
class Classification(Data):
    """class_weight: what each class's training rows count for: `balanced`, or weights by class, in JSON; None weighs all alike."""

    task = CLASSIFICATION
    target_noise: float = setting(0.0, number(0, 1))
    class_weight: str | None = later(None, CLASS_WEIGHT)


# -- generated by a formula --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise(Regression):
    """Inputs and targets uniform on [0, 1); nothing can be learned but the rows themselves."""

    name = "noise"
    normalise: str = setting(NONE, INPUT_SCALES)
    normalise_target: str = setting(NONE, TARGET_SCALES)
    rows: int = setting(1000, ROWS)
    features: int = setting(10, COLUMNS)
    outputs: int = setting(1, COLUMNS)


@dataclass(frozen=True)
class Teacher(Regression):
    """A random MLP's outputs for normal inputs, scaled to SD 1. noise: SD of the normal noise on all rows' outputs."""

    name = "teacher"
    rows: int = setting(1000, ROWS)
    features: int = setting(10, COLUMNS)
    outputs: int = setting(1, COLUMNS)
    units: tuple[int, ...] = setting((16,), listing(COLUMNS, at_least=1))
    activation: str = setting("tanh", one_of(("tanh", "relu")))
    noise: float = setting(0.0, SD)


@dataclass(frozen=True)
class Friedman1(Regression):
    """Friedman's first function of five uniform inputs; the inputs beyond five have no effect. noise: SD on all rows' targets."""

    name = "friedman1"
    rows: int = setting(1000, ROWS)
    features: int = setting(10, integer(5, 65_536))
    noise: float = setting(1.0, SD)


# -- bundled with scikit-learn -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Diabetes(Regression):
    name = "diabetes"
    test_fraction: float = later(TESTED, SHARE, before=0.0)


@dataclass(frozen=True)
class Digits(Classification):
    name = "digits"
    test_fraction: float = later(TESTED, SHARE, before=0.0)


@dataclass(frozen=True)
class BreastCancer(Classification):
    name = "breast_cancer"
    test_fraction: float = later(TESTED, SHARE, before=0.0)
    threshold: float | str | None = later(None, THRESHOLD)


@dataclass(frozen=True)
class Wine(Classification):
    name = "wine"
    test_fraction: float = later(TESTED, SHARE, before=0.0)


@dataclass(frozen=True)
class Iris(Classification):
    name = "iris"
    test_fraction: float = later(TESTED, SHARE, before=0.0)


# -- the user's table --------------------------------------------------------------------------------------------------------


def is_url(path: str) -> bool:
    """Return True for a database's URL, in place of a file's path."""
    return "://" in path


def _accept_path(value: object) -> str:
    text = TEXT.accept(value)
    if "\0" in text:
        raise ValueError
    if is_url(text):
        if (file := sqlite.path_of(text)) is not None:
            return str(file)
        # Hydra's files and MLflow would keep a password
        if text.startswith(ELSEWHERE) or any(character.isspace() for character in text) or redaction.holds_credentials(text):
            raise ValueError
        return text
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:  # the home of an unknown user
        raise ValueError from error


def _accept_delimiter(value: object) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(TEXT.accept(value), str(value))
    # characters of a field's own text can't separate fields
    if len(text) > 3 or not text.isascii() or any(sign.isalnum() or sign in '"\r\n.-+_' for sign in text):
        raise ValueError
    return text


def _accept_encoding(value: object) -> str:
    try:
        "".encode(text := TEXT.accept(value))
    except (LookupError, UnicodeError) as error:
        raise ValueError from error
    return text


def _accept_name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _accept_target(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return TEXT.accept(value)
    names = listing(TEXT, at_least=1, distinct=True).accept(value)
    return names[0] if len(names) == 1 else names


def _accept_header(value: object) -> bool | str:
    if not isinstance(value, bool) and value != AUTO:
        raise ValueError
    return value


def _accept_gap(value: object) -> str | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ValueError
    return value


def _accept_role(value: object) -> str:
    """Accept NAME: ROLE, where a date's role may end with its notation."""
    name, mark, role = str(value).rpartition(": ")
    kind, _, written = role.strip().partition(" ")
    if not isinstance(value, str) or not mark or kind not in ROLES or (written and (kind != DATE or "%" not in written)):
        raise ValueError
    return f"{name}: {role.strip()}"


def _accept_roles(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = [f"{name}: {role}" for name, role in value.items()]
    named = listing(ROLE, at_least=0).accept(value)
    if len({item.rpartition(": ")[0] for item in named}) < len(named):
        raise ValueError
    return tuple(named)


ROLE = Rule("NAME: ROLE", _accept_role)
NAMED_ROLES = Rule(
    f"a role for each column, as in 'data.columns={{zip: category}}' or 'data.columns=[\"zip: category\"]': {', '.join(ROLES)}",
    _accept_roles,
)


def _accept_quote(value: object) -> str:
    if value not in QUOTES:
        raise ValueError
    return str(value)


ELSEWHERE = ("http:", "https:", "ftp:", "file:", "s3:", "gs:", "abfs:")
QUOTES = ('"', "'")
PATHS = (
    "the path of a file (CSV, JSON lines, Parquet, Arrow, Feather, .xlsx or SQLite), or a database's URL without a password, in "
    "place of which an environment variable may stand, such as $DB_PASSWORD"
)
NAMES = Rule("""names of columns, with numbers and null in quotes, as in 'data.drop=["2019"]'""", _accept_name)


@dataclass(frozen=True)
class UserTable(Regression):
    """A table in a file or a database.

    task: `auto` is resolved when settings are composed, so here it is always one of the two.
    target: one column, or several numeric ones. Rows without a value in one of them are left out. weight: the column with what each
    row counts for in losses and scores; it is no input. class_weight: as for `Classification`. threshold: of two
    classes, the probability of the second above which it is predicted, or the score to choose it by; None for the likelier class.
    normalise_target has no effect on classification.
    roles: 'auto' finds out what each column is; 'types' takes numbers, texts and booleans for what they are, as earlier versions
    did. columns: the roles of some, `NAME: ROLE`. encode: how categories become inputs; 'auto' is one input per level for at most
    max_levels levels, and otherwise the targets of the training part. min_count: levels of fewer rows are *other*; None means 1%
    of the rows, from 1 to MOST_RARE. max_levels: the most levels with an input each.
    missing: the statistic of the training part that replaces a missing number, or 'auto': the median, beside an input that is 1
    where the value is missing. Without 'auto', a missing text or boolean is zero in all its levels' inputs.
    clip: the most SDs, judged by the middle half of the training part, of a number from their median; None for no limit.
    soft_clip: a smooth limit of the scaled inputs; None for none. fourier: whether a sine and a cosine stand beside each number.
    path: of a file, or a database's URL. sql: the query whose rows are the table, in a SQLite file or on a server. sheet: of a
    workbook, the first by default. delimiter, encoding, quote, and skip, the number of lines above a text's names: None detects
    them. A delimiter of a blank is any number of blanks and tabs. decimal: the decimal mark of a text file's numbers; thousands:
    the separator between groups of three digits, None accepts any. header: whether
    the first line of a text file holds the columns' names; auto detects it. index: auto leaves out the row labels that pandas and R
    write, keep makes an input of them. gaps: texts and numbers that stand for a missing value, besides the usual ones.
    test_path: a table with the same columns whose rows are the test part, in place of `test_fraction`.
    split: 'random'; 'group': no value of the column `group` is in two parts; 'time': by the column `time`, the test part is the
    latest, and each validation part comes after its training part. Neither column is an input.
    """

    name = "table"
    test_fraction: float = later(TESTED, SHARE, before=0.0)
    path: str = setting("", Rule(PATHS, _accept_path))
    target: str | tuple[str, ...] = setting("", Rule("the name of the column to predict, or a list of them", _accept_target))
    task: str = setting(  # type: ignore[misc]  # the other kinds have a fixed one
        REGRESSION, Rule("auto, regression, classification", one_of((REGRESSION, CLASSIFICATION)).accept)
    )
    drop: tuple[str, ...] = setting((), listing(NAMES, at_least=0, distinct=True))
    columns: tuple[str, ...] | None = later(None, NAMED_ROLES)
    roles: str = later(AUTO, one_of((AUTO, TYPES)), before=TYPES)
    encode: str = later(AUTO, one_of((AUTO, ONEHOT, TARGET, ORDINAL)), before=ONEHOT)
    min_count: int | None = later(None, optional(integer(1, 1_000_000)), before=1)
    missing: str = setting(AUTO, one_of((AUTO, REFUSE, MEAN, MEDIAN, MOST_FREQUENT)))
    delimiter: str | None = setting(
        None,
        optional(Rule("one to three characters, such as ',' or ';', or tab; a blank for any number of them", _accept_delimiter)),
    )
    decimal: str = later(".", Rule("'.' or ','", one_of((".", ",")).accept))
    thousands: str | None = later(None, optional(Rule("one of , . ' ’ or a blank", one_of(THOUSANDS).accept)))
    encoding: str | None = setting(None, optional(Rule("a text encoding, such as utf-8 or cp1252", _accept_encoding)))
    quote: str | None = later(None, optional(Rule("\" or '", _accept_quote)))
    skip: int | None = later(None, optional(integer(0, 1_000_000)))
    sheet: str | None = later(None, optional(TEXT))
    sql: str | None = later(None, optional(TEXT))
    max_levels: int = setting(50, integer(2, 10_000))
    clip: float | None = later(20.0, optional(number(1, 1e6)), before=None)
    soft_clip: float | None = later(None, optional(number(0.1, 1e6)))
    fourier: bool = later(False, FLAG)
    header: bool | str = later(AUTO, Rule("auto, true or false", _accept_header))
    index: str = later(AUTO, one_of((AUTO, KEEP)))
    gaps: tuple[str | float, ...] = later((), listing(Rule("texts and numbers", _accept_gap), at_least=0, distinct=True))
    test_path: str | None = later(None, optional(Rule("the path of a table with the same columns", _accept_path)))
    split: str = later(RANDOM, one_of((RANDOM, GROUP, TIME)))
    group: str | None = later(None, optional(Rule("the name of a column", TEXT.accept)))
    time: str | None = later(None, optional(Rule("the name of a column", TEXT.accept)))
    weight: str | None = later(None, optional(Rule("the name of a column", TEXT.accept)))
    class_weight: str | None = later(None, CLASS_WEIGHT)
    threshold: float | str | None = later(None, THRESHOLD)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the target columns."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = []
        if self.task == CLASSIFICATION and self.target_noise > 1:
            faults.append(Fault("target_noise", self.target_noise, "a share of the labels, a number >= 0 and <= 1"))
        if self.thousands == self.decimal:
            faults.append(Fault("thousands", self.thousands, "a mark other than data.decimal"))
        if is_url(self.path) and self.sql is None:
            faults.append(Fault("sql", None, "a query, such as 'SELECT * FROM houses', for a database's URL"))
        faults += [Fault("columns", name, "columns other than the target") for name in self.targets if name in self.named_roles]
        faults += [Fault("drop", name, "columns other than the target") for name in self.targets if name in self.drop]
        if self.task == CLASSIFICATION and len(self.targets) > 1:
            faults.append(Fault("target", list(self.targets), "one column for classification; several targets are for regression"))
        if self.task == REGRESSION:
            given = {name: getattr(self, name) for name in OF_CLASSES}
            faults += [Fault(name, value, "null for regression") for name, value in given.items() if value is not None]
        if self.weight is not None and self.weight in (*self.targets, *self.drop, self.group, self.time):
            faults.append(Fault("weight", self.weight, "a column of its own: no target, dropped, group or time column"))
        for kind in (GROUP, TIME):
            column = getattr(self, kind)
            if (column is None) == (self.split == kind):
                faults.append(Fault(kind, column, f"the name of a column with data.split={kind}, else null"))
            if column is not None and column in (*self.targets, *self.drop):
                faults.append(Fault(kind, column, "a column other than the target and those to drop"))
        if self.split != RANDOM and self.resample not in (possible := [SPLIT] if self.split == TIME else [SPLIT, KFOLD]):
            faults.append(Fault("resample", self.resample, f"{' or '.join(possible)} with data.split={self.split}"))
        if faults:
            raise BadInput(faults)

    @property
    def named_roles(self) -> dict[str, str]:
        """The role of each column in `columns`."""
        return {name: role for name, _, role in (item.rpartition(": ") for item in self.columns or ())}

    def rarest(self, rows: int) -> int:
        """Return the fewest rows of a level that has an input of its own, in a table of so many."""
        return min(MOST_RARE, max(1, rows // 100)) if self.min_count is None else self.min_count


KINDS = registry(Noise, Teacher, Friedman1, Diabetes, Digits, BreastCancer, Wine, Iris, UserTable)
