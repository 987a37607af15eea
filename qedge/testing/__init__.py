"""Parts that tests of any target use: models of one operator, random inputs, case tables."""
