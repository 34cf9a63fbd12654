"""Pure algorithms shared by mechanisms: plain data and arrays in, plain data and arrays out.

No kernel reads a clock, draws from an unseeded generator, touches a disk or a network. Beside each fast form stands a
naive readable one, and a test that the two agree.
"""
