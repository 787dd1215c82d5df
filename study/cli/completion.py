"""Complete commands, studies and runs with click, and settings with Hydra.

`mlp-study completion SHELL` prints a script, which calls mlp-study at each Tab, so this module loads nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from os import environ
from pathlib import Path

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from study import locations, sqlite
from study.cli import flags
from study.errors import StudyError

PROGRAM, VARIABLE = "mlp-study", "_MLP_STUDY_COMPLETE"
# how to install each shell's script
INSTALL = {
    "bash": 'eval "$(mlp-study completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(mlp-study completion zsh)"   # in ~/.zshrc, after compinit',
    "fish": "mlp-study completion fish > ~/.config/fish/completions/mlp-study.fish",
}
MOST_SUGGESTED = 100


class _Bash(BashComplete):
    """Reads the whole line, since bash splits words at = and :, and returns the part after them.

    No space follows a group's = or a section's dot, since the word continues.
    """

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        [[ -n $value ]] && COMPREPLY+=("$value")
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
    [[ ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        return (words, "") if not words or line[-1].isspace() else (words[:-1], words[-1])

    def format_completion(self, item: CompletionItem[str]) -> str:
        incomplete = self.get_completion_args()[1]
        typed = max(incomplete.rfind("="), incomplete.rfind(":")) + 1
        return f"{item.type},{item.value[typed:]}"


class _Zsh(ZshComplete):
    source_template = (
        ZshComplete.source_template.replace(
            '                completions+=("$key")',
            '                if [[ $key == *[=./] ]]; then unfinished+=("$key"); else completions+=("$key"); fi',
        )
        .replace(
            '    if [ -n "$completions" ]; then',
            "    (( $#unfinished )) && compadd -U -V unsorted -S '' -a unfinished\n    if [ -n \"$completions\" ]; then",
        )
        .replace("    local -a response\n", "    local -a response\n    local -a unfinished\n")
    )


class _Fish(FishComplete):
    # a word with several choices contains commas too
    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


@click.command()
@click.argument("shell", type=click.Choice(list(INSTALL)))
def completion(shell: str) -> None:
    """Print a script that lets a shell complete commands, studies and settings. Its first line says where to put it."""
    click.echo(f"# {INSTALL[shell]}")
    click.echo(SHELLS[shell](click.Group(), {}, PROGRAM, VARIABLE).source())


def answer(commands: click.Group, instruction: str) -> str:
    """Return the completions for a shell's script. instruction: the value that the script gave VARIABLE."""
    shell = instruction.partition("_")[0]
    if shell not in SHELLS:
        return ""
    asked = SHELLS[shell](commands, {}, PROGRAM, VARIABLE)
    arguments, incomplete = asked.get_completion_args()
    return "\n".join(map(asked.format_completion, suggestions(commands, arguments, incomplete)))


def suggestions(commands: click.Group, arguments: Sequence[str], incomplete: str) -> list[CompletionItem[str]]:
    """Return the completions of an incomplete word after these arguments."""
    words = [word for word in arguments if word not in flags.NAMES]
    if words and words[0] in commands.commands:
        for parameter in commands.commands[words[0]].params:
            if isinstance(parameter, click.Argument) and re.search("STUDY|RUN", parameter.metavar or ""):
                parameter.type = _Recorded("RUN" in str(parameter.metavar))
        return ShellComplete(commands, {}, PROGRAM, VARIABLE).get_completions(list(words), incomplete)
    if incomplete.startswith("-"):
        from hydra._internal.utils import get_args_parser

        hydras = [(name, action.help) for action in get_args_parser()._actions for name in action.option_strings]
        ours = [(name, flags.HELP[kind]) for name, kind in flags.NAMES.items()]
        long = [(name, text) for name, text in [*ours, *hydras] if name.startswith("--")]
        return [CompletionItem(name, help=text) for name, text in long if name.startswith(incomplete)]
    known = commands.commands.items() if not words else ()
    matching = [CompletionItem(name, help=command.get_short_help_str()) for name, command in known if name.startswith(incomplete)]
    return [*matching, *map(CompletionItem, _settings(words, incomplete))]


def _settings(words: Sequence[str], incomplete: str) -> list[str]:
    """Return Hydra's completions: groups, their choices, and settings with their values."""
    from hydra._internal.utils import create_config_search_path
    from hydra.core.plugins import Plugins
    from hydra.errors import HydraException
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin
    from omegaconf.errors import OmegaConfBaseException

    from study.config import source
    from study.config.loader import Loader

    loader = Loader(create_config_search_path(str(source.config_folder())))
    Plugins.instance()  # finds the sweeper and the launchers
    deciding = [word for word in words if _decides(word)]
    key, equals, value = incomplete.partition("=")
    before, comma, last = value.rpartition(",")  # only the last of several choices is incomplete
    try:
        line = " ".join([*deciding, f"{key}{equals}{last}"])
        completions = DefaultCompletionPlugin(loader)._query(source.CONFIG_NAME, line if key else f"{line} ")
    except (HydraException, OmegaConfBaseException):
        return []
    if comma:
        completions = [f"{key}={before},{choice.partition('=')[2]}" for choice in completions]
    # Hydra's own settings are many and rarely wanted
    return [text for text in completions if incomplete.startswith("h") or not text.startswith("hydra")]


def _decides(word: str) -> bool:
    """Return True for a setting with one value, which may change the available settings."""
    from study.config import grammar

    try:
        return "=" in word and not any(override.is_sweep_override() for override in grammar.parse([word]))
    except StudyError:
        return False


class _Recorded(click.ParamType[str]):
    """The name of a study, or the id of a run; the latest MOST_SUGGESTED of them."""

    name = "recorded"

    def __init__(self, runs: bool) -> None:
        self._runs = runs

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        from study.search import recent as search
        from study.tracking import recent as tracking

        with suppress(StudyError):
            studies = search.names(ctx.params.get("storage") or sqlite.url_of(Path("optuna.db")))
            runs = tracking.runs(locations.tracking_uri(ctx.params.get("tracking_uri"))) if self._runs else []
            known = [*((name, None) for name in studies), *runs]
            return [CompletionItem(name, help=detail) for name, detail in known if name.startswith(incomplete)][:MOST_SUGGESTED]
        return []
