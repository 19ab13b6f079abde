"""The official APIs behind one interface."""
