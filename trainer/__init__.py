"""Training and evaluation by held-out people on flowkit's shards.

types -> samples, protocols -> data, models -> inputs, losses -> train -> pool -> run -> results, report -> cli; each
module imports only from those before it (pyproject.toml has the order). What `--help` imports knows no torch.
"""
