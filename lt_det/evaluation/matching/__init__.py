"""Match detections to ground truth, as the official APIs do."""
