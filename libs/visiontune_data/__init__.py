"""What an example is and how an archive becomes examples: pure, offline, without torch."""
