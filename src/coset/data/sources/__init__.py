"""Where tables come from: folders, data frames, AnnData, data sets of Hugging Face, and arrays in files.

A file a kind, which is imported only when it is asked for; each returns what a table is made of.
"""
