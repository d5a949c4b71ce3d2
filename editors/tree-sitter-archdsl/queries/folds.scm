[(body) (docstring) (arguments) (list) (comprehension)] @fold
