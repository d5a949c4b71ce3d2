"""Deep Compression (Han, Mao and Dally, 2016, arXiv:1510.00149): a network in a few hundredths of its size.

prune      the smallest weights to zero, by a schedule, with training in between
share      few values for the weights that are left, by k-means, which can be trained
huffman    few bits for what is frequent
pack       the file: what it looks like, written and read
compress   all of it
"""
