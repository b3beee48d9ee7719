"""QBFT: blocks that are final at once, after the EEA specification and Besu."""
