"""What stores over tables do alike."""
