"""The server as a process: `python -m kaon.server`, started by `kaon up`."""

import gc

# Nothing that is made on the way up is garbage, and looking for it takes an eighth of the start.
gc.disable()

from kaon.server.main import main  # noqa: E402

if __name__ == "__main__":
    main()
