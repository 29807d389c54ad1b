"""Measurements that need an accelerator: run by hand where there is one, by no target of the Makefile."""
