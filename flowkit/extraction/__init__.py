"""From clips to committed parts: what is asked for, which pairs, how they are framed, divided, computed and resumed."""
