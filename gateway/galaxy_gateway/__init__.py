"""The gateway: the edge process of Galaxy Backend, on the chassis."""
