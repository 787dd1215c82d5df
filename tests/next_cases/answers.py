"""What is ranked against what, what is called better, and in which words."""

from __future__ import annotations

from tests.next_cases import Case

TINY = ("--multirun", "training.epochs=2", "replicates.count=2", "model.units=[4]", "tracking=none")
IRIS = (*TINY, "data=iris")
RANKED, ROWS = "ranked by {}: the trials have no validation loss in common", "trials are judged on different rows"
FIVE = ("--multirun", "data=iris", "training.epochs=2", "model.units=[4]", "replicates.count=5", "optimizer.learning_rate=0.01,0.1")


def case(
    name: str, *command: str, shows: tuple[str, ...] = (), hides: tuple[str, ...] = (), code: int = 0, long: bool = False
) -> Case:
    return Case(name, (command,), shows, hides, code, long=long)


CASES = [
    case(
        "other numbers of replicates",
        *IRIS[:2],
        *IRIS[3:],
        "replicates.count=5,6",
        shows=("trials differ in replicates.count",),
        long=True,
    ),
    case("other first replicates", *IRIS, "replicates.first=0,8", shows=("trials differ in replicates.first",), long=True),
    Case(
        "folds have no rows in common",
        ((*FIVE, "data.resample=kfold", "replicates.vary=[init,order,data]"),),
        ("each was validated on rows of its own", "that differ in init, order and data"),
        ("As functions",),
        long=True,
    ),
    case(
        "one network",
        "data=iris",
        "replicates.count=1",
        *IRIS[1:2],
        *IRIS[3:5],
        hides=("fingerprint", "1 replicates", "disagreement"),
    ),
    case(
        "two objectives",
        *FIVE,
        "hydra.sweeper.objective=[loss,size]",
        shows=("By validation loss alone, the win is real: trial 1", "the trial with the lowest validation loss"),
        hides=("the best trial",),
        long=True,
    ),
    case("a loss's own setting", *TINY, "loss=huber", "loss.delta=0.5,2", shows=(RANKED.format("R²"), "R²"), long=True),
    case(
        "label smoothing",
        *IRIS,
        "loss=categorical_crossentropy",
        "loss.label_smoothing=0,0.1",
        shows=(RANKED.format("accuracy"),),
        long=True,
    ),
    case(
        "two names of one loss",
        *IRIS,
        "loss=sparse_categorical_crossentropy,categorical_crossentropy",
        shows=("trial val loss accuracy loss",),
        hides=("ranked by", ROWS),
        long=True,
    ),
    case(
        "another share of validation rows",
        *IRIS,
        "data.validation_fraction=0.2,0.3",
        shows=(f"No winner is named: {ROWS}",),
        long=True,
    ),
    case("another scale of the inputs", *IRIS, "data.normalise=none,standard", hides=("ranked by", ROWS), long=True),
    case("noise in the training targets alone", *IRIS, "data.target_noise=0,0.1", hides=("ranked by", ROWS), long=True),
    case("noise in all targets", *TINY, "data=friedman1", "data.noise=0,1", shows=(f"No winner is named: {ROWS}",), long=True),
    case("other numbers of rows", *TINY, "data=noise", "data.rows=100,200", shows=(f"No winner is named: {ROWS}",), long=True),
    case(
        "folds and a split", *IRIS, "data.resample=split,kfold", "data.folds=3", shows=(f"No winner is named: {ROWS}",), long=True
    ),
    case("two data sets of one task", *IRIS[:-1], "data=iris,breast_cancer", shows=(f"No winner is named: {ROWS}",), long=True),
    case(
        "rows of their own in one trial alone",
        *IRIS,
        "replicates.vary=[init],[data]",
        shows=(f"No winner is named: {ROWS}",),
        long=True,
    ),
    case("seeds by a range", *IRIS, "seed=range(0,3)", shows=(ROWS, "(seed "), hides=("best trial", "(0)", "(1)", "(2)")),
    case("a pruner over seeds", *IRIS, "seed=0,1", "pruner=median", shows=("pruner: got 'median'; valid: none:", ROWS[7:]), code=2),
    case("a pruner over losses", *TINY, "loss=mse,mae", "pruner=hyperband", shows=("the trials have no loss in common",), code=2),
    case(
        "the spread of unlike losses",
        *TINY,
        "loss=mse,mae",
        "hydra.sweeper.objective=spread",
        shows=("valid: r2, or null",),
        code=2,
    ),
    case(
        "unlike losses among several objectives",
        *TINY,
        "loss=mse,mae",
        "hydra.sweeper.objective=[loss,size]",
        shows=("hydra.sweeper.objective: got 'loss'",),
        code=2,
    ),
    case(
        "an error that unlike losses share",
        *TINY,
        "loss=mse,mae",
        "hydra.sweeper.objective=mae",
        hides=("ranked by", "No winner is"),
        long=True,
    ),
    case(
        "copies of one network",
        *FIVE,
        "replicates.vary=[]",
        shows=("the replicates are copies of one network", "differ in nothing"),
        hides=("elsewhere", "The win is real"),
        long=True,
    ),
    case(
        "one unit in the last place",
        *FIVE,
        "replicates.vary=[ulp]",
        shows=("With another ulp for every model",),
        hides=("elsewhere",),
        long=True,
    ),
    case(
        "batch orders alone",
        *FIVE,
        "replicates.vary=[order]",
        shows=("With another order for every model",),
        hides=("elsewhere",),
        long=True,
    ),
]
