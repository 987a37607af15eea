"""The Raspberry Pi class target."""
