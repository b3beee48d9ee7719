"""Consensus: the engine's interface, quorums, authorities, and the engines themselves."""
