"""`python -m study` is the command `mlp-study`."""

from study.cli.program import main

if __name__ == "__main__":
    main()
