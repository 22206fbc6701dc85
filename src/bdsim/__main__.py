"""`python -m bdsim` is the command `bdsim`."""

from bdsim.cli.main import main

if __name__ == "__main__":
    main()
