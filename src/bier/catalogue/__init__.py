"""A catalogue of pictures, embedded: any number of them, from anywhere, into a folder of vectors."""

from bier.catalogue.embedding import embed_catalogue, embedded
from bier.catalogue.sources import open_catalogue

__all__ = ["embed_catalogue", "embedded", "open_catalogue"]
