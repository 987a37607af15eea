"""Arm Ethos-U: int8 models compiled by Vela for the NPU beside a Cortex-M or Cortex-A."""
