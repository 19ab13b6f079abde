"""What two splits of a data set share, and what each evaluation rests on."""
