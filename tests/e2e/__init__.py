"""The whole path on real processes: simulator, web, worker, loop and agents, all on loopback."""
