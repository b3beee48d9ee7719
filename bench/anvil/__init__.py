"""anvil, the development node that people measure first, as a mark beside the cluster."""
