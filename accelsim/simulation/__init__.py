"""Runs a compressed network on a machine."""
