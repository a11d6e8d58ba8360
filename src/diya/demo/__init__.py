"""``diya demo``: a small convolutional network learns to tell ten kinds of clothing apart (Fashion-MNIST)."""
