"""Statistics of images and answers, and the divergence between two sets of them."""
