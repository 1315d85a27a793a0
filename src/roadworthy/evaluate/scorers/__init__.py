"""The scorers that come with the package; others are plugins of the same shape."""
