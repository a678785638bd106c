"""What the device remembers: events with their pictures, and what each view saw by the minute."""
