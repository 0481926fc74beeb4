"""From frames to motion: optical flow, strain, and the cube of both. Arrays in, arrays out, on the CPU and on GPUs."""
