"""Many long-tail methods on one frozen detector: trained, chosen, evaluated, compared."""
