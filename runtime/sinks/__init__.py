"""Where pictures go beside the wire: films, recordings, cameras. A sink that cannot keep up leaves pictures out."""
