"""The ground: what every room may use and nothing of lt_det is needed for."""
