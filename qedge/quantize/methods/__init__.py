"""The methods: one module each, with the paper that it follows."""
