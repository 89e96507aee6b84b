"""The command line `churn-signals`: one module per command, loaded when the command is called.

`main` lists the commands. Each of the other modules has the name of its command, except `options`, `replay` and
those named in their docstring.
"""
