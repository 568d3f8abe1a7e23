"""Sentiment of movie reviews, trained and measured on IMDB: a module for each preset."""
