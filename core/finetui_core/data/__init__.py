"""Files → conversations → token ids with a loss mask."""
