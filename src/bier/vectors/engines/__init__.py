"""Who computes the vectors of a catalogue: this process, or actors on many machines. An engine is a file here."""

from bier.system.registry import Registry
from bier.vectors.engines.engine import Engine, Wanted

__all__ = ["ENGINES", "Engine", "Wanted"]

ENGINES: Registry[type[Engine]] = Registry("engine of embedding", __name__, "bier.embedding")
"""A file here, or an entry point ``bier.embedding`` of another package, adds one."""
