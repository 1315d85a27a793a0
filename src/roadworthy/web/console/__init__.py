"""The console: every page of the project, rendered on the server from what `/api` returns."""
