"""BIER: the ensemble, its boosting, its diversity, and the losses that it boosts."""
