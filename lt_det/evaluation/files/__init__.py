"""Read and check results files and files of groups."""
