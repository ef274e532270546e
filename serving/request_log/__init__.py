"""What was asked and answered, a line a row, for `genattr monitor`: measurements of images, not the images."""
