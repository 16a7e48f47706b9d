"""Prefect flows: thin wrappers that call the use cases and show their results in the UI."""
