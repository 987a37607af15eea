"""Bundles behind the Open Inference Protocol (v2, REST), on uvicorn: ``qedge serve``. Needs ``qedge[serve]``."""
