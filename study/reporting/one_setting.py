"""Write the launch of one setting of a study: as a command, and as a file for Hydra."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping

import yaml

from study.records.arrays import Scalar
from study.search import space as spaces

# the beginnings of settings that one trial has no use for
OF_A_STUDY = ("hydra.mode", "hydra.sweep", "hydra.launcher", "hydra/sweeper", "hydra/launcher", "sampler", "pruner")
FILE = "winner"
GROUP = "experiment"


def command(launch: str, settings: Mapping[str, Scalar], searched: Collection[str] = ()) -> str:
    """Return the command that trains one setting. launch: of its study; searched: the keys that the launch searches."""
    program, *words = shlex.split(launch)
    made = [f"{key}={spaces.text(value)}" for key, value in settings.items()]
    return shlex.join([program, *_kept(words, {*settings, *searched}), *made])


def _kept(words: Collection[str], gone: Collection[str]) -> list[str]:
    return [word for word in words if word != "--multirun" and not _key(word).startswith(OF_A_STUDY) and _key(word) not in gone]


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def file(launch: str, settings: Mapping[str, Scalar], searched: Collection[str] = ()) -> str:
    """Return the setting as a choice of Hydra's group `experiment`, in YAML; "" for a launch with more than plain settings."""
    _, *words = shlex.split(launch)
    kept = _kept(words, {*settings, *searched})
    if any("=" not in word or word.startswith(("+", "~", "-")) or "@" in _key(word) for word in kept):
        return ""
    texts = dict(word.split("=", 1) for word in kept) | {key: spaces.text(value) for key, value in settings.items()}
    groups = {key: text for key, text in texts.items() if "." not in key and key != "seed"}
    content: dict[str, object] = {}
    try:
        for key, text in texts.items():
            if key not in groups:
                _put(content, key.split("."), yaml.safe_load(text))
    except (yaml.YAMLError, TypeError):
        return ""
    lines = ["# @package _global_", *(["defaults:"] if groups else [])]
    lines += [f"  - override /{key}: {text}" for key, text in groups.items()]
    return "\n".join(lines) + "\n" + (yaml.safe_dump(content, sort_keys=False, allow_unicode=True) if content else "")


def _put(content: dict[str, object], path: list[str], value: object) -> None:
    *sections, last = path
    for section in sections:
        content = content.setdefault(section, {})  # type: ignore[assignment]
    content[last] = value
