"""Prefect flows: thin, they call the stages and make their results worth reading in the UI."""
