"""The storm: seeded kills, damages, bad input, full disks and power losses, each followed by what must hold then.

python -m tests.storm --long --seed 1      all of it, in some 25 minutes on two CPUs; writes docs/reliability.md
pytest tests/storm                         a sample of each, as CI runs it
"""
