"""The revisions, numbered. A published one is never edited: it has run on somebody's data."""
