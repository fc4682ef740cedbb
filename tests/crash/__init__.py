"""Processes ended at every step they take, long outages, and whether the fleet comes back."""
