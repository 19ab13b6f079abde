"""What image files hold: decoded once in worker processes, hashed, compared with each other."""
