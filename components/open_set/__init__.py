"""Unknown generators: every source takes its turn as one that no head was trained on."""
