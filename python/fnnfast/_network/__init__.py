"""What a network is: its layers, parameters and answers, on one device."""
