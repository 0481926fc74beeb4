"""Where the face is in a clip's frames."""
