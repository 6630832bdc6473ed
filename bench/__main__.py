"""`python -m bench ...` is `facebench ...`, where the packages are there and the command is not (a job on a cluster)."""

import sys

from bench.cli import main

if __name__ == "__main__":
    sys.argv[0] = "facebench"
    main()
