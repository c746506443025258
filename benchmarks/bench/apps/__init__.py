"""The apps beside the starter: the same requests, the same answers."""
