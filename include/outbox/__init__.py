"""What is to be sent to other systems: one class per outbox and the work loop that they share."""
