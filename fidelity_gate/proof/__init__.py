"""Proof for the deploy step: a signed statement of what the gate found of one file, and the reading of it.

The statement is in-toto's (https://in-toto.io/Statement/v1) with the predicate test-result v0.1, in a DSSE v1.0
envelope that is signed with a local key; nothing is asked of any network.
"""
