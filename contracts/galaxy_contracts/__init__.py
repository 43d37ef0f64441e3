"""The contracts between plugins: typed capabilities, value types and facts.

A leaf: it imports no other distribution of Galaxy Backend. A plugin that offers a service has its protocol
and its `Capability` here, one module a plugin, so that its users depend on the contract alone.
"""
