"""Exact ranks of all queries, in memory linear in the number of pictures."""
