"""The programs inside the stand-in runner package: standard library only, Python 3.10 or later.

They speak the stand-in server's protocol and behave towards the machine as GitHub's runner does.
Nothing here may import from outside this package: a host unpacks it alone.
"""
