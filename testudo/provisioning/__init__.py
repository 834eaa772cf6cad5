"""What exists in a project, read and written with Google's clients: a module a service."""
