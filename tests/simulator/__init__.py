"""The stand-in GitHub and the stand-in runner."""
