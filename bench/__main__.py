"""`python -m bench`: the Network API's table, the first one to look at."""

from bench.api import main

if __name__ == "__main__":
    main()
