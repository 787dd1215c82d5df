"""Hydra's switches and grammar, and what a search leaves alone."""

from __future__ import annotations

from tests.next_cases import Case

TINY = ("training.epochs=2", "replicates.count=2", "data=iris", "tracking=none")
NET = "model.units=[4]"
ROWS = "".join(f"{number},{number % 7},{number * 1.5}\n" for number in range(60))
TABLE = ("data=table", "data.path=t.csv", "training.batch_size=8")
MINE = """# @package _global_
defaults: [override /optimizer: sgd]
model: {units: [3]}
training: {epochs: 2, batch_size: 16}
replicates: {count: 2}
"""

CASES = [
    Case(
        "an experiment of one's own in a folder of one's own, as a study",
        (("-m", "-cd", "conf", "+experiment=mine", "data=iris", "tracking=none", "hydra.sweeper.n_trials=2"),),
        shows=("study mine-", "sampling: optimizer.learning_rate: numbers from 0.0001 to 0.1, log", "[1/2"),
        hides=("model.width", "training.batch_size:"),
        files={"conf/experiment/mine.yaml": MINE},
        long=True,
    ),
    Case(
        "its mode in a file makes a study of a plain launch",
        (("-cd", "conf", "+experiment=mine", "data=iris", "tracking=none"),),
        shows=("study mine-", "2 trials × 2 replicates", "optimizer.momentum: choice(0.0, 0.9)"),
        files={
            "conf/experiment/mine.yaml": f"{MINE}hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
            "      optimizer.momentum: choice(0.0, 0.9)\n"
        },
    ),
    Case(
        "a dry run of one trial with a config of one's own",
        (("--dry-run", "-cd", "conf", "--config-name", "own", "tracking=none"),),
        shows=("one trial: 2 networks on iris", "model.units: [5, 5]"),
        hides=("model.width",),
        files={
            "conf/own.yaml": "defaults: [config, override data: iris, _self_]\nmodel: {width: 5}\n"
            "training: {epochs: 2}\nreplicates: {count: 2}\n"
        },
        long=True,
    ),
    Case(
        "sizes and a width in one file clash",
        (("-cd", "conf", "+experiment=mine", *TINY),),
        shows=("model.units: got 'model.units=[3] beside model.width=8'",),
        code=2,
        files={"conf/experiment/mine.yaml": "# @package _global_\nmodel: {units: [3], width: 8}\n"},
    ),
    Case(
        "the width of an experiment that is searched gives way to sizes on the command line",
        (("-m", "+experiment=widths", NET, "optimizer=adam,sgd", *TINY),),
        shows=("every setting of: optimizer: choice(adam, sgd) [1/2",),
        hides=("model.width",),
        long=True,
    ),
    Case(
        "sizes undo the depth of an experiment",
        (("+experiment=widths", NET, *TINY, "--dry-run"),),
        shows=("one trial", "model.units: [4]"),
        hides=("model.depth",),
    ),
    Case(
        "a mapping of one section is as good as its settings",
        (("-m", "model={units: [4]}", "optimizer={learning_rate: 0.1}", "hydra.sweeper.n_trials=1", *TINY),),
        shows=("optimizer: choice(adam, sgd, rmsprop)", "training.batch_size: choice(16, 32, 64)", "[1/1"),
        hides=("numbers from",),
        long=True,
    ),
    Case(
        "momentum of the kinds that have it, which are searched",
        (("-m", "optimizer=sgd,rmsprop", "optimizer.momentum=0.5", NET, *TINY),),
        shows=("optimizer: choice(sgd, rmsprop)", "[2/2"),
        long=True,
    ),
    Case(
        "an interval of a setting that one kind has is offered with its condition",
        (("-m", "optimizer=sgd,adagrad", "optimizer.momentum=tag(log,interval(0.1,0.9))", NET, *TINY),),
        shows=("'optimizer.momentum=tag(log,optimizer:sgd,interval(0.1,0.9))'",),
        code=2,
    ),
    Case(
        "that condition, pasted",
        (
            (
                *("-m", "optimizer=sgd,adagrad", "optimizer.momentum=tag(log,optimizer:sgd,interval(0.1,0.9))", NET),
                *("hydra.sweeper.n_trials=1", *TINY),
            ),
        ),
        shows=("optimizer.momentum: numbers from 0.1 to 0.9, log when optimizer is sgd",),
    ),
    Case(
        "a batch of the default search that the data can't fill is left out, and said to be",
        (("-m", *TABLE[:2], "data.target=y", NET, "hydra.sweeper.n_trials=1", *TINY[:2], "tracking=none"),),
        shows=("training.batch_size=64", "choice(16, 32)"),
        files={"t.csv": f"x,z,y\n{ROWS}"},
        long=True,
    ),
    Case(
        "columns named by numbers, null and a blank",
        (("data.target=2024", 'data.drop=[null,"a b"]', *TABLE, NET, *TINY[:2], "tracking=none"),),
        shows=("regression of 2024; 1 input number true",),
        files={"t.csv": "true,null,a b,2024\n" + "".join(f"{n},{n % 3},{n % 5},{n * 1.5}\n" for n in range(60))},
        long=True,
    ),
    Case(
        "a column's name with a bracket is offered in quotes",
        (("data.target=price (€)", *TABLE, *TINY[:2]),),
        shows=("with quotes: 'data.target=\"price (€)\"'",),
        hides=("got None; valid: the name",),
        code=2,
        files={"t.csv": f"x,z,price (€)\n{ROWS}"},
    ),
    Case(
        "what is offered, pasted",
        (('data.target="price (€)"', *TABLE, NET, *TINY[:2], "tracking=none"),),
        shows=("regression of price (€); 2 inputs number x, z",),
        files={"t.csv": f"x,z,price (€)\n{ROWS}"},
        long=True,
    ),
    Case(
        "a job's folder that is the working directory keeps a relative table and the study together",
        (
            ("-m", "hydra.job.chdir=True", "seed=1,2", "data.target=y", *TABLE, NET, *TINY[:2], "hydra.sweeper.study_name=tiny"),
            ("list",),
        ),
        shows=("tiny 2 complete",),
        files={"t.csv": f"x,z,y\n{ROWS}"},
        long=True,
    ),
    Case(
        "the config of one job beside what is searched",
        (("-m", "--cfg", "job", "model.width=4,8", "seed=7"),),
        shows=("seed: 7", "width: null"),
        hides=("Traceback",),
    ),
    Case("deleting a section, among other faults", (("-m", "~schedule", "~replicates", "seed=-1,1"),), ("schedule=NAME",), code=2),
    Case(
        "another sweeper is refused with the reason, beside other faults",
        (("-m", "hydra/sweeper=basic", "seed=-1"),),
        shows=("hydra/sweeper: got 'basic'; valid: study", "seed: got -1"),
        hides=("default_params",),
        code=2,
    ),
]
