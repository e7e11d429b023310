"""What the folder of a run holds, written and read in one place.

folder       where each file lies
provenance   where a run comes from (`Provenance`)
history      what is kept of each epoch (`Epoch`)
metrics      what the model finds (`Metrics`)
tries        what a run is the best of (`Tries`)
run          all of it, to look at (`RunRecords`)
reading      records from JSON, every field checked, and back
"""
