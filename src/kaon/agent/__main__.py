"""The agent as a process: `python -m kaon.agent`, started by `kaon up`."""

from kaon.agent.main import main

if __name__ == "__main__":
    main()
