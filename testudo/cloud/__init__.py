"""Testudo on Google Cloud: what `testudo provision`, `launch` and `update` know and do."""
