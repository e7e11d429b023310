"""How sure an answer is: learned from what the hits of a search look like."""
