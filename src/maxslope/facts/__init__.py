"""What is said of an evaluation, as plain numbers, words and tables: nothing here knows how it is drawn."""
