"""Tests, a folder a layer; `make test` runs them all."""
