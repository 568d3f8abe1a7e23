"""What is trained: the text classifier, the models it starts from, and their configuration."""
