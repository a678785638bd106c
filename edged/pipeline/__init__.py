"""The way of a frame: mailbox, queue, decision, inference, result."""
