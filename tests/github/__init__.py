"""Tests of the GitHub client, on loopback."""
