"""The model solutions: one file for each exercise, as a teacher would project it on a wall. The tests run them."""
