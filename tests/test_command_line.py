"""What a person sees around training: flags, a dry run, completion, and what a slip of the keyboard is answered with."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import study
from study.cli import flags
from study.cli.completion import INSTALL, SHELLS, VARIABLE, answer, suggestions
from study.cli.flags import Flags, taken
from study.cli.program import commands
from study.config import composition, group_help
from study.errors import BadInput
from study.records.outcome import Failed, TrialResult
from study.records.trial import Asked
from study.reporting import progress, report, streams, terminal
from study.statistics.objectives import Objective
from tests.command import ran, run

TINY = ["training.epochs=3", "replicates.count=2", "model.units=[4]"]
STUDY = ["--multirun", "optimizer.learning_rate=0.01,0.02", "hydra.sweeper.study_name=tiny", *TINY]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of two trials ran."""
    return ran(tmp_path_factory.mktemp("line"), *STUDY)


def told(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command's exit code and what it says, on both outputs; its messages go to a copy of a descriptor that pytest has not."""
    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal.err, "file", messages := io.StringIO())
        code = run(*arguments)
    out, err = capfd.readouterr()
    return code, out, messages.getvalue() + err


# -- flags -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected", "rest"),
    [
        ([], Flags(), []),
        (["-m", "--dry-run", "a=1"], Flags(dry_run=True), ["-m", "a=1"]),
        (["-q", "show", "x"], Flags(quiet=True), ["show", "x"]),
        (["show", "x", "--quiet"], Flags(quiet=True), ["show", "x"]),
        (["a=1", "-v", "--dry-run"], Flags(dry_run=True, verbose=True), ["a=1"]),
        (["a=-q", "--cfg", "job"], Flags(), ["a=-q", "--cfg", "job"]),
        (["show", "--", "-q"], Flags(), ["show", "--", "-q"]),
    ],
)
def test_flags_are_taken_out_wherever_they_stand(given: list[str], expected: Flags, rest: list[str]) -> None:
    assert taken(given) == (expected, rest)


def test_quiet_and_verbose_contradict() -> None:
    with pytest.raises(BadInput, match="either --quiet or --verbose"):
        taken(["-q", "a=1", "--verbose"])


def test_no_flag_is_one_of_hydras_or_of_a_commands() -> None:
    from hydra._internal.utils import get_args_parser

    hydras = {name for action in get_args_parser()._actions for name in action.option_strings}
    assert not hydras & set(flags.NAMES)
    for name, command in commands.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert not options & (set(flags.NAMES) - {"--dry-run"}), name


def test_quiet_leaves_results_and_errors(empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(capfd, "-q", *TINY)
    assert code == 0 and "validation loss" in out and err == ""
    code, out, err = told(capfd, "--quiet", "optimizer.learning_rate=-1")
    assert code == 2 and out == "" and err.startswith("optimizer.learning_rate: got -1")


def test_verbose_tells_where_an_error_comes_from(empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(capfd, "show", "tiny")
    assert code == 2 and "Traceback" not in err
    code, _, more = told(capfd, "show", "tiny", "-v")
    assert code == 2 and "Traceback" in more and more.endswith(err)


# -- slips -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["shwo", "tiny"], "no command shwo: did you mean show?"),
        (["optimizer"], "no command optimizer: mlp-study --help"),
        (["show"], "Missing argument"),
        (["show", "tiny", "--dry-run"], "No such option"),
        (["--dry-run", "--config-name=other"], "--config-name: got 'other'; valid: a config in /"),
        (["--config-path=/none"], "--config-path: got '/none'; valid: a folder of configs"),
        (["-m", "--config-dir=/none"], "--config-dir: got '/none'; valid: a folder of configs"),
    ],
)
@pytest.mark.usefixtures("empty")
def test_a_slip_is_answered(arguments: list[str], expected: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(capfd, *arguments)
    assert code == 2 and out == "" and expected in err


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capfd, "--version")
    assert code == 0 and re.fullmatch(r"mlp-study \d+\.\d+\.\d+\n", out)


def test_help_lists_every_command_and_flag(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capfd, "--help")
    assert code == 0
    assert [name for name in commands.commands if not re.search(rf"^ +mlp-study {name}\b", out, re.MULTILINE)] == []
    assert [name for name in flags.NAMES if name not in out] == []


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_a_command_has_help(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(capfd, name, "--help")
    assert code == 0 and err == ""
    assert out.startswith(f"Usage: mlp-study {name} ")


# -- dry run -----------------------------------------------------------------------------------------------------------------


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder, but the memory that users of a database share, which readers mark too."""
    kept = (each for each in folder.rglob("*") if not each.name.endswith("-shm"))
    return {str(each): (each.stat().st_size, each.stat().st_mtime_ns) for each in kept}


def test_a_dry_run_of_a_study_tells_all_and_writes_nothing(empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capfd, *STUDY, "model.activation=tanh", "--dry-run")
    assert code == 0 and list(empty.iterdir()) == []
    for line in (
        "study tiny on diabetes: 2 trials × 2 replicates = 4 networks; every setting of:",
        "  optimizer.learning_rate: choice(0.01, 0.02)",
        "  model.activation: tanh",
        "  training.epochs: 3",
        "sampler: tpe (n_startup_trials 10)",
        "pruner: none",
        "objective: minimize loss",
        "launcher: basic, 1 trial at a time",
    ):
        assert line in out.splitlines()
    assert "compile (1 programs)" in out  # both rates share it
    assert re.search(r"^time: about [\d.]+ (s|min) \([\d.]+ \w+ to [\d.]+ \w+\)$", out, re.MULTILINE)
    assert re.search(r"^disk: about [\d.]+ MB\b", out, re.MULTILINE)


def test_a_dry_run_of_one_trial_writes_nothing(empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capfd, "--dry-run", *TINY)
    assert code == 0 and list(empty.iterdir()) == []
    assert "one trial: 2 networks on diabetes" in out and "time: about" in out and "disk: about" in out


def test_a_dry_run_of_a_study_that_is_there_leaves_it_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    before = states(folder)
    code, out, _ = told(capfd, *STUDY, "--dry-run")
    assert code == 0 and "  2 trials are already done" in out and "time:" not in out
    code, _, err = told(capfd, *STUDY, "training.epochs=4", "--dry-run")
    assert code == 2 and "training.epochs: got '4'; valid: 3 in study 'tiny'" in err
    assert states(folder) == before


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("optimizer.learning_rate=0,0.1", 2),
        ("hydra.sweeper.n_trials=0", 2),
        ("hydra.sweeper.objective=los", 2),
        ("sampler=tpee", 2),
        ("hydra.sweep.dir=/dev/null/none", 4),
        ("tracking.uri=http://127.0.0.1:9", 3),
    ],
)
def test_a_dry_run_refuses_what_a_launch_refuses(wrong: str, code: int, empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = told(capfd, "-m", "--dry-run", *TINY, wrong)
    assert found[0] == code and found == told(capfd, "-m", *TINY, wrong)
    assert list(empty.iterdir()) == []


def test_the_disks_estimate_is_within_half_of_what_a_study_takes(folder: Path) -> None:
    from study.runner import estimate

    taken = int(subprocess.check_output(["du", "-s", "-B1", folder], text=True).split()[0])
    assert 1 / 1.5 < sum(estimate.study_bytes([composition.compose(TINY)], 2, tracked=True).values()) / taken < 1.5


def test_an_estimate_is_linear_in_what_it_is_made_of() -> None:
    from study.runner import estimate

    small, large = (composition.compose([f"model.units=[{width}]"]) for width in (8, 512))
    probes = [estimate.Probe(spec, 1.0, 2e-6 * estimate.work(spec)[1], 0.5) for spec in (small, large, small, large)]
    probes[2:] = [replace(probe, compile=None, analyse=0.1) for probe in probes[2:]]
    found = estimate.from_probes(probes, [small, large], programs=2, remaining=20, composing=0.1)
    assert found.parts["compile (2 programs)"] == pytest.approx(2)
    assert found.parts["analyse"] == pytest.approx(2 * 0.5 + 18 * 0.1)
    assert found.parts["train"] == pytest.approx(20 * 2e-6 * (estimate.work(small)[1] + estimate.work(large)[1]) / 2)
    assert found.low < found.likely < found.high
    swings = estimate.from_probes(probes, [small, large], programs=2, remaining=20, composing=0.1, learns=True)
    assert swings.low < found.low and swings.high > found.high


# -- completion --------------------------------------------------------------------------------------------------------------


def completed(*words: str) -> list[str]:
    """The suggestions for the last word."""
    return [item.value for item in suggestions(commands, words[:-1], words[-1])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("optimizer=",), {"optimizer=adam", "optimizer=sgd"}),
        (("-m", "optimizer=ad"), {"optimizer=adam", "optimizer=adamax", "optimizer=adadelta"}),
        (("-m", "optimizer=adam,s"), {"optimizer=adam,sgd"}),
        (("training.",), {"training.epochs=", "training.batch_size="}),
        (("--dry-run", "optimizer=sgd", "optimizer.mom"), {"optimizer.momentum="}),
        (("-m", "data=digits,iris", "tr"), {"training.", "training=", "tracking="}),
        (("+experiment=opt",), {"+experiment=optimizers"}),
        (("hydra.sweeper.n_",), {"hydra.sweeper.n_trials=", "hydra.sweeper.n_jobs="}),
        (("sh",), {"show"}),
        (("",), {"show", "compare", "completion", "optimizer="}),
        (("-",), {"--dry-run", "--quiet", "--verbose", "--multirun", "--help", "--cfg"}),
        (("show", "-"), {"--json", "--storage"}),
        (("completion", ""), {"bash", "zsh", "fish"}),
    ],
)
@pytest.mark.usefixtures("empty")
def test_suggestions(words: tuple[str, ...], expected: set[str]) -> None:
    found = completed(*words)
    assert expected <= set(found)
    assert all(each.startswith(words[-1]) for each in found)


@pytest.mark.parametrize("words", [("a=(", "b"), ("optimizer=nothing", "training."), ("show", "x", ""), ("=",), ("'",)])
@pytest.mark.usefixtures("empty")
def test_what_is_wrong_so_far_is_completed_without_an_error(words: tuple[str, ...]) -> None:
    completed(*words)


def test_studies_and_runs_are_suggested_and_nothing_is_left_beside_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = states(folder)
    assert completed("show", "t") == ["tiny"] and completed("show", "%") == []
    study, *runs = completed("compare", "")
    assert study == "tiny" and len(runs) == 7  # the study's, two trials' and four replicates'
    assert completed("compare", runs[0], runs[1][:6]) == [runs[1]]
    assert states(folder) == before


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mlp-study -m optimizer=ad", "adam"),
        ("mlp-study optimizer.learn", "optimizer.learning_rate="),
        ("mlp-study -m +experiment=bat", "batch_sizes"),
        ("mlp-study sh", "show"),
        ("mlp-study ", "show"),
    ],
)
def test_bash_gets_what_follows_its_own_word_breaks(line: str, expected: str, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert expected in [each.partition(",")[2] for each in answer(commands, "bash_complete").splitlines()]


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_a_shells_script_is_valid_and_says_where_it_goes(shell: str, empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capfd, "completion", shell)
    assert code == 0 and out.startswith(f"# {INSTALL[shell]}\n") and VARIABLE in out
    if shutil.which(shell):
        (empty / "script").write_text(out)
        subprocess.run([shell, "-n", "script"], check=True)


def test_bash_completes_in_time(empty: Path) -> None:
    script = (
        'source <("$1" -m study completion bash); COMP_LINE="mlp-study -m optimizer=ad"; COMP_POINT=${#COMP_LINE}; COMP_CWORD=4; '
        '_mlp_study_completion "$2"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    program = empty / "mlp-study"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m study "$@"\n')
    program.chmod(0o700)
    found = subprocess.run(["bash", "-c", script, "bash", sys.executable, program], capture_output=True, text=True, check=True)
    assert "adam" in found.stdout.split() and not found.stderr


# -- what a terminal shows ---------------------------------------------------------------------------------------------------


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed on a terminal of 160 columns."""
    monkeypatch.setattr(
        terminal, "out", Console(file=(printed := io.StringIO()), force_terminal=True, width=160, color_system=None)
    )
    return printed


def test_sentences_wrap_where_they_can_be_read(wide: io.StringIO) -> None:
    terminal.show_text("word " * 60)
    assert 90 < max(map(len, wide.getvalue().splitlines())) <= terminal.WIDEST_PROSE


def test_a_long_line_is_folded_between_words_and_a_setting_to_paste_stays_whole(wide: io.StringIO) -> None:
    terminal.out.width = 40
    terminal.show_line("    left out             a, b (the same in all rows)", fold=True)
    terminal.show_line("  gaps of weight: -999 (if so: 'data.gaps=[-999, 1]')", fold=True)
    assert wide.getvalue().splitlines() == [
        *("    left out             a, b (the same", f"{' ' * 25}in all rows)"),
        *("  gaps of weight: -999 (if so:", "    'data.gaps=[-999, 1]')"),
    ]


def test_no_word_of_a_label_is_broken(wide: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.out, "width", 40)
    terminal.show_table(report.Table(("trial", "convergence"), (("1", "diverged: /a/path/of/twenty-eight/xyz"),)))
    assert "/a/path/of/twenty-eight/xyz" in wide.getvalue()


def test_without_colour_nothing_is_bold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    printed = io.StringIO()
    Console(file=printed, force_terminal=True, color_system=streams._colours()).print("a", style="bold red")
    assert printed.getvalue() == "a\n"


def test_help_on_a_group_has_its_keys_as_overrides_with_their_meaning() -> None:
    told = group_help.text("training")
    assert re.search(r"^  training\.epochs=100 +# passes over the training part$", told, re.MULTILINE)
    assert "optimizer=adam  # " in group_help.text("optimizer")
    with pytest.raises(BadInput, match="did you mean optimizer"):
        group_help.text("optimiser")


def test_a_number_of_units_is_one_hidden_layer() -> None:
    assert study.compose(["model.units=16"]).model.units == (16,)


def test_settings_of_a_search_are_said_to_do_nothing_for_a_single_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(terminal, "message", lambda text, *_, **__: messages.append(text))
    monkeypatch.chdir(tmp_path)
    assert run("--dry-run", "hydra.sweeper.n_trials=3", "+hydra.sweeper.minutes=1", "training.epochs=2") == 0
    assert messages == ["no effect without --multirun (-m): hydra.sweeper.n_trials, hydra.sweeper.minutes"]
    assert run("--dry-run", "training.epochs=2") == 0
    assert len(messages) == 1


# -- progress ----------------------------------------------------------------------------------------------------------------


def test_a_brief_label_takes_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.out, "_width", 44)
    label = "19 still improving, 1 undecided"
    columns = ("trial", "val loss", "convergence", "training s")
    rows = (("1", "0.5 ± 0.1", label, "0.05"),)
    terminal.show_table(report.Table(columns, rows, {"convergence": ("19 still improving…",)}))
    assert "19 still improving…" in capsys.readouterr().out


def test_a_column_of_brief_labels_is_no_wider_than_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.out, "_width", 60)
    label = "19 still improving, 7 undecided, 3 oscillating"
    rows = (("1", "0.5 ± 0.1", label, "0.05"),)
    table = report.Table(("trial", "val loss", "convergence", "training s"), rows, {"convergence": ("19 still improving…",)})
    terminal.show_table(table)
    assert re.search(r"19 still improving… {2,12}0\.05", capsys.readouterr().out)


def test_a_table_is_as_wide_as_the_rows_that_it_shows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.out, "_width", 60)
    rows = (("1", "sgd"), ("2", "adam"), ("3", "a long text" * 9))
    terminal.show_table(report.Table(("trial", "convergence", "optimizer"), [(n, "slow", text) for n, text in rows]), rows=2)
    shown = capsys.readouterr().out
    assert "adam" in shown and "a long text" not in shown and "… and 1 more" in shown
    assert "too narrow" not in shown and max(map(len, shown.splitlines())) < 40


def test_a_narrow_terminal_cuts_off_the_note_of_a_bar_alone() -> None:
    console = Console(width=80, force_terminal=True, color_system=None, file=io.StringIO())
    bar = progress.bar(console)
    note = "8 networks × 113 epochs/s, val loss 0.05871"
    bar.add_task("training", total=10_000, completed=880, note=note, ends=time.monotonic() + 90)
    [line] = "".join(segment.text for segment in console.render(bar.make_tasks_table(bar.tasks))).splitlines()
    assert "880/10000 90 s left 8 networks" in line and len(line) == 80 and note not in line


def test_the_pace_counts_trials_that_were_launched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    assert [progress._left(seconds) for seconds in (90, 0.6, 0.4, -5)] == ["90 s left", "1 s left", "nearly done", "nearly done"]
    pace = progress.Pace()
    pace.launched(4)
    now[0] += 20  # all four are done, and are told one by one
    for left in (12, 11, 10, 9):
        pace.ended(8)
        assert pace.left(left - 1) == pytest.approx(5 * 8)
        assert pace.networks_per_second() == pytest.approx(4 * 8 / 20)
    pace.launched(1)
    now[0] += 5
    pace.lost()
    pace.launched(1)
    now[0] += 5
    pace.ended(8)
    assert pace.left(7) == pytest.approx(30 / 5 * 7)


def test_a_study_counts_what_earlier_launches_and_other_drivers_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.err, "file", messages := io.StringIO())
    shown = progress.StudyProgress(10, 5, 0.5, Objective(), replicates=4)
    asked = Asked(8, {"optimizer": "adam"})
    with shown:
        shown.launched([asked], 8)
        shown.finished(asked, TrialResult(Failed("diverged")))
    counts = r"^\[9/10, best 0.500, 1 failed, [\d.e+]+ networks/s, nearly done\]  trial   8  diverged with adam"
    assert re.search(counts, messages.getvalue())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99, "99 s"), (100, "1.7 min"), (600, "10 min"), (5900, "98 min"), (7200, "2 h"), (300_000, "3 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


# -- colours -----------------------------------------------------------------------------------------------------------------

ESCAPE = "\x1b["


def printed(*, in_terminal: bool, **environment: str) -> str:
    """What an error looks like in a terminal, or in a pipe."""
    command = [
        sys.executable,
        "-c",
        "from study.reporting import terminal\nwith terminal.status('working'): terminal.error('wrong')",
    ]
    given = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    given |= {"TERM": "xterm-256color", **environment}
    if not in_terminal:
        return subprocess.run(command, env=given, capture_output=True, text=True, check=True).stderr
    main, other = pty.openpty()
    with subprocess.Popen(command, env=given, stdin=other, stdout=other, stderr=other):
        os.close(other)
        found = b""
        while select.select([main], [], [], 30)[0]:
            try:
                found += os.read(main, 4096)
            except OSError:  # its other end is closed
                break
    os.close(main)
    return found.decode()


def test_colours_are_for_terminals_and_can_be_refused_or_forced() -> None:
    assert "\x1b[31mwrong" in printed(in_terminal=True)
    assert "\x1b[31m" not in printed(in_terminal=True, NO_COLOR="1")
    assert ESCAPE not in printed(in_terminal=True, TERM="dumb")
    assert printed(in_terminal=False) == "wrong\n"
    # forced colours are all that is forced: a file gets no spinner
    assert printed(in_terminal=False, FORCE_COLOR="1") == "\x1b[31mwrong\x1b[0m\n"
