"""tf.Examples of a prepared dataset: feature names, records and readers."""
