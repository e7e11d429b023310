"""Families of backbones, a file each."""
