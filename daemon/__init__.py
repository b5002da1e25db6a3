"""How a model set trades: a synchronous engine of events and commands, and the asyncio shell around it."""
