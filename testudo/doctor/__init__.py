"""Checks of a project of Google Cloud: each reads, judges, and changes nothing."""
