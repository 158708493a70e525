"""What made the starter benchmark and pair, from nothing: see ``__main__``."""
