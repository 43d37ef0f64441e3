"""The dialect `postgresql+aiopg`: SQLAlchemy's asyncio engine over connections of aiopg."""
