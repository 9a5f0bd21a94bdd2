"""Readers, one per file format: each gives the :class:`~syncsde3d.mesh.formats.source.Source` of a file."""
