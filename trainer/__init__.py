"""Training and leave-one-subject-out evaluation on flowkit's shards.

types -> data -> folds -> models, losses -> train -> metrics -> results, report -> cli; each module imports only from
those before it. Only models, losses and train need torch.
"""
