"""Recent Orders: the newest Amazon orders with their status, buyer, total and what to do."""
