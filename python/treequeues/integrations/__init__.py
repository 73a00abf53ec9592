"""What other libraries know about trees.

No module here imports its library: each looks whether it is imported already, and finds nothing
where it is not.
"""
