"""Writes renders/motion.png: one moment of each prompt of a motion that the embedded model made.

syncsde3d motion "a person walks forward" "a person jumps" "a person sits down" "a person runs" \
    "a person waves" --seconds 4 4 4 4 4 --out renders/m1
python renders/make_motion_picture.py renders/m1/motion/motion.npz
"""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from syncsde3d.io.images import write_png
from syncsde3d.io.motion_video import motion_frames
from syncsde3d.io.smpl_npz import read_motion_npz

motion = read_motion_npz(Path(sys.argv[1]))
moments = {(segment.start + segment.end) // 2 + 15 for segment in motion.segments}
frames = [f for i, f in enumerate(islice(motion_frames(motion, (480, 480)), len(motion))) if i in moments]
small = [
    np.asarray(Image.fromarray(f[50:470, 100:380]).resize((196, 294), Image.Resampling.LANCZOS))
    for f in frames
]
write_png(Path(__file__).with_name("motion.png"), np.concatenate(small, axis=1))
