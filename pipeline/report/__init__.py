"""HTML reports: pure rendering of plain values."""
