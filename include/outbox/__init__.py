"""What we promised other systems: one class per outbox and the work loop that they share."""
