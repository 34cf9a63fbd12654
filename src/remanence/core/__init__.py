"""The words every layer shares: identifiers, scopes, clocks, errors, cards. Standard library only."""
