"""A city of real processes on one machine: the same scenario, the same people and judges."""
