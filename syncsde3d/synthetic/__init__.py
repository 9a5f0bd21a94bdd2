"""Procedural objects made for this project: the bundled meshes and the embedded models' training objects."""
