"""Published memory methods, one file each, in one folder per substrate; families do not know each other."""
