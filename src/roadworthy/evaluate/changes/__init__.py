"""Changes of an input whose effect on the answer is known beforehand."""
