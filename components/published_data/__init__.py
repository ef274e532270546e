"""Published data sets: their layouts on disk and their conversion to image trees."""
