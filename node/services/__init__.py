"""The city's services, each a deterministic part of the state machine."""
