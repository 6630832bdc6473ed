"""What is measured and how one trial goes: datasets, protocols, metrics, training, records, command line."""
