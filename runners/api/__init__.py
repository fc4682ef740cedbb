"""JSON in, JSON out: what host agents and GitHub talk to. No sessions, no templates."""
