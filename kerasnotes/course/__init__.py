"""What runs lessons, renders their reports and cuts snippets out of them. No lesson imports it."""
