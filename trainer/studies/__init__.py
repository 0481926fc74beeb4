"""The studies of "Is Micro-expression Ethnic Leaning?" (Khor et al., ICMEW 2025), each with its controls."""
