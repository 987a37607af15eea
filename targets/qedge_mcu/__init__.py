"""The microcontroller target: an int8 model exported as C."""
