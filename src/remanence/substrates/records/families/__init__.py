"""What mechanisms of one family share beyond `base`: statements and episodes, triples and phrases, propositions, facts.

A base goes here when two mechanisms need it and it keeps records; a pure algorithm is a kernel.
"""
