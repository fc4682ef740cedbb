"""Pages and probes: read models, call the domain, answer; never each other."""
