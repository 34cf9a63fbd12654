"""Witnesses of training mechanisms: small problems whose best weights are known, and change."""
