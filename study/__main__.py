"""`python -m study` is the command `mlp-study`."""

from study.cli import main

if __name__ == "__main__":
    main()
