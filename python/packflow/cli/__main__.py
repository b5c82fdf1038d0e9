"""`python -m packflow.cli` is the `packflow` command."""

from packflow.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
