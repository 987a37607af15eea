"""Pre- and post-processing: numpy, and pillow where an image file is read."""
