"""Human motion: 22 joints at 20 frames per second. Knows nothing of diffusion.

Conventions: +Y up, metres, right-handed; at frame 0 the person faces +Z, so that left is +X; the floor is
y = 0.
"""
