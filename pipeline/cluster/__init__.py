"""On a cluster: the plan of a run, one node in one process, the report, and what Kubeflow shows of them."""
