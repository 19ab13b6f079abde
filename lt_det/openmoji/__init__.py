"""The generated long-tailed data set of OpenMoji drawings."""
