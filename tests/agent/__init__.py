"""Tests of the host agent: it is run as a real process against a small server of its protocol."""
