"""What the data promise: contracts, feature views, and that training and serving see the same."""
