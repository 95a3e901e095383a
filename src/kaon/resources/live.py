"""What the serving process knows and no table holds, because each word of it would be a commit."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Live:
    """The knowledge of one process. `heard`: host -> Unix time of its agent's last word, of agents that it hears."""

    heard: dict[str, float] = field(default_factory=dict)
