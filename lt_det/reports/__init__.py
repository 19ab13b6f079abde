"""From numbers to tables, plots and pages."""
