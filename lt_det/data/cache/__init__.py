"""Read records once, map them into memory from then on."""
