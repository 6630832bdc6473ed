"""The kinds of networks that can be scored, a file each; `bench.any_network` opens the one that a spelling means."""
