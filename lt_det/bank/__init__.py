"""RoI features of a frozen detector, extracted once for every classifier."""
