"""Whether the fleet does what it was built for, tried with real processes, with a verdict."""
