"""What users hold in their hands: `Memory`, over a store, an embedder and a recall mechanism."""
