"""Leave-one-generator-out evaluation: every source takes its turn as the unknown generator."""
