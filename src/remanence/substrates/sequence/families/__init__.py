"""What several sequence mechanisms are settings of."""
