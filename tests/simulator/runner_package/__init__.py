"""The stand-in runner package, run as real processes against a server of a few lines."""
