"""The stand-in runner package: what a host downloads and runs instead of GitHub's runner."""
