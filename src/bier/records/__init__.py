"""What the folder of a run holds, written and read in one place."""
