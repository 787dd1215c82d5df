"""Where the rows come from, and how they are split, normalised and disturbed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from study.errors import BadInput, Fault
from study.settings.rules import TEXT, Kind, Rule, integer, later, listing, number, one_of, optional, registry, setting

REGRESSION, CLASSIFICATION, AUTO = "regression", "classification", "auto"
NONE, STANDARD, MINMAX, ROBUST = "none", "standard", "minmax", "robust"
SPLIT, KFOLD, BOOTSTRAP = "split", "kfold", "bootstrap"
REFUSE, MEAN, MEDIAN, MOST_FREQUENT = "refuse", "mean", "median", "most_frequent"
KEEP = "keep"
THOUSANDS = (",", ".", "'", "’", " ", "\u00a0", "\u202f")  # the last two are blanks that don't break a line
LARGEST = 1e37  # a value of more than ten times as much doesn't fit into single precision

ROWS, COLUMNS = integer(2, 100_000_000), integer(1, 65_536)
SD = number(0, 1e6)
TARGET_SCALES = one_of((NONE, STANDARD, MINMAX))


@dataclass(frozen=True)
class Data(Kind):
    """What all kinds of data share. Every statistic is the training part's, and noise is added to the training part only.

    normalise: each input by mean and SD, by minimum and range, by median and interquartile range, or not at all.
    feature_noise, target_noise: SD of the normal noise on each (normalised) input and target column; for classification,
    target_noise is the share of the training labels that become another class.
    resample: how the `data` seed makes the parts of a replicate. 'split': `validation_fraction` of the rows, drawn anew for each
    seed. 'kfold': the rows in one order for all, of which replicate r's validation part is fold r modulo `folds`. 'bootstrap':
    one validation part for all, and as many training rows as are left, drawn with replacement for each seed.
    """

    validation_fraction: float = setting(0.2, number(0, 1, above=True, below=True))
    normalise: str = setting(STANDARD, one_of((NONE, STANDARD, MINMAX, ROBUST)))
    feature_noise: float = setting(0.0, SD)
    target_noise: float = setting(0.0, SD)
    resample: str = setting(SPLIT, one_of((SPLIT, KFOLD, BOOTSTRAP)))
    folds: int = setting(5, integer(2, 1_000_000))
    task: ClassVar[str]

    def source(self) -> Data:
        """These settings with the shared ones at their defaults: what decides the rows before they are split."""
        shared = {each.name for each in fields(Regression)}
        return type(self)(**{each.name: getattr(self, each.name) for each in fields(self) if each.name not in shared})


@dataclass(frozen=True)
class Regression(Data):
    task = REGRESSION
    normalise_target: str = setting(STANDARD, TARGET_SCALES)


@dataclass(frozen=True)
class Classification(Data):
    task = CLASSIFICATION
    target_noise: float = setting(0.0, number(0, 1))


# -- made by a formula -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise(Regression):
    """Inputs and targets uniform on [0, 1), with nothing to learn but the rows themselves."""

    name = "noise"
    normalise: str = setting(NONE, one_of((NONE, STANDARD, MINMAX, ROBUST)))
    normalise_target: str = setting(NONE, TARGET_SCALES)
    rows: int = setting(1000, ROWS)
    features: int = setting(10, COLUMNS)
    outputs: int = setting(1, COLUMNS)


@dataclass(frozen=True)
class Teacher(Regression):
    """A random MLP's answers to normal inputs, scaled to SD 1. noise: SD of the normal noise on all rows' answers."""

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


@dataclass(frozen=True)
class Digits(Classification):
    name = "digits"


@dataclass(frozen=True)
class BreastCancer(Classification):
    name = "breast_cancer"


@dataclass(frozen=True)
class Wine(Classification):
    name = "wine"


@dataclass(frozen=True)
class Iris(Classification):
    name = "iris"


# -- the user's own ----------------------------------------------------------------------------------------------------------


def _accept_path(value: object) -> str:
    text = TEXT.accept(value)
    if "\0" in text:
        raise ValueError
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:  # no such user's home
        raise ValueError from error


def _accept_delimiter(value: object) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(TEXT.accept(value), str(value))
    # what a field's own text is made of can't separate fields
    if len(text) != 1 or not text.isascii() or text.isalnum() or text in '"\r\n.-+_':
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


def _accept_header(value: object) -> bool | str:
    if not isinstance(value, bool) and value != AUTO:
        raise ValueError
    return value


def _accept_gap(value: object) -> str | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ValueError
    return value


NAMES = Rule("""names of columns, numbers and null in quotes, as in 'data.drop=["2019"]'""", _accept_name)


@dataclass(frozen=True)
class Table(Regression):
    """A CSV, TSV or Parquet file, one row per line. Text and booleans become one column per level.

    task: what `auto` means is decided when settings are composed, so that here it is always one of the two.
    normalise_target has no effect on classification. missing: what takes the place of a missing number, a statistic of the
    training part; a missing text or boolean is zero in all its level's columns.
    delimiter, encoding: None finds them out; decimal: the mark in a text file's numbers; thousands: the mark between groups of
    three digits, None finds it out. max_levels: a text column with more is refused. header: whether the first line of a text file
    holds the columns' names; auto finds it out. index: auto leaves out the row labels that pandas and R write, keep makes an input
    of them. gaps: texts and numbers that stand for a missing value, besides the usual ones.
    """

    name = "table"
    path: str = setting("", Rule("the path of a .csv, .tsv or .parquet file (.csv.gz too)", _accept_path))
    target: str = setting("", Rule("the name of the column to predict", TEXT.accept))
    task: str = setting(  # type: ignore[misc]  # of the other kinds it is known
        REGRESSION, Rule("auto, regression, classification", one_of((REGRESSION, CLASSIFICATION)).accept)
    )
    drop: tuple[str, ...] = setting((), listing(NAMES, at_least=0, distinct=True))
    missing: str = setting(REFUSE, one_of((REFUSE, MEAN, MEDIAN, MOST_FREQUENT)))
    delimiter: str | None = setting(None, optional(Rule("one character, such as ',' or ';', or tab", _accept_delimiter)))
    decimal: str = later(".", Rule("'.' or ','", one_of((".", ",")).accept))
    thousands: str | None = later(None, optional(Rule("one of , . ' ’ or a blank", one_of(THOUSANDS).accept)))
    encoding: str | None = setting(None, optional(Rule("a text encoding, such as utf-8 or cp1252", _accept_encoding)))
    max_levels: int = setting(50, integer(2, 10_000))
    header: bool | str = later(AUTO, Rule("auto, true or false", _accept_header))
    index: str = later(AUTO, one_of((AUTO, KEEP)))
    gaps: tuple[str | float, ...] = later((), listing(Rule("texts and numbers", _accept_gap), at_least=0, distinct=True))

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = []
        if self.task == CLASSIFICATION and self.target_noise > 1:
            faults.append(Fault("target_noise", self.target_noise, "a share of the labels, a number >= 0 and <= 1"))
        if self.thousands == self.decimal:
            faults.append(Fault("thousands", self.thousands, "another mark than data.decimal"))
        if self.target in self.drop:
            faults.append(Fault("drop", self.target, "columns other than the target"))
        if faults:
            raise BadInput(faults)


KINDS = registry(Noise, Teacher, Friedman1, Diabetes, Digits, BreastCancer, Wine, Iris, Table)
