"""The conformance kit: what every target promises, ours and anybody's; run by ``pytest --qedge-target NAME``."""
