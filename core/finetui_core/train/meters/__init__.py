"""What a run's losses mean while it goes on: overfitting, memorisation, forgetting, not learning, divergence."""
