"""ML Metadata: the store, the lineage of a run, the ancestry of an artifact."""
