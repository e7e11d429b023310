"""From pictures to vectors: one by one, of a manifest, of a catalogue of any size."""
