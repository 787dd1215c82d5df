"""The command `mlp-study`: arguments enter, an exit code leaves.

The home of click; every subcommand imports what it needs when it runs.
"""

from __future__ import annotations


def main() -> None:
    """Run the command with this process's arguments."""
    from study.cli import program

    program.main()
