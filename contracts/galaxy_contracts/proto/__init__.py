"""The protocols between processes, and the Python code that `make proto` generates from them.

For the backend and for the processes that call it, such as the gateway: nothing here loads SQLAlchemy or the kernel.
"""
