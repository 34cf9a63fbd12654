"""Methods that remember plaintext records."""
