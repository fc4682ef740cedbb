"""The Fleetui application: everything that knows what a host, a runner and a job are."""
