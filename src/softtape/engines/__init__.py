"""Engines run graphs. All of them offer ``Program(graph).run(inputs)``."""

from softtape.engines.numpy import Program

__all__ = ["Program"]
