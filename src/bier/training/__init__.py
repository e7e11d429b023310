"""Training: steps, epochs, checkpoints, and what a person sees of them."""
