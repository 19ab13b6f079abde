"""How a table, a plot and an HTML page look."""
