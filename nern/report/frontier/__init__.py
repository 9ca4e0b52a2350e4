"""What originals and predictors are worth at equal bytes: the points of a frontier, its verdict, and its table."""
