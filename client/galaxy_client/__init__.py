"""The client of Galaxy Backend: typed, on asyncio."""
