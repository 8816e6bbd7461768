"""The run directory: who writes it, who reads it, and how a run is started, steered and judged."""
