"""The MobileNet family: its definition and cost, its files, and how good each variant is."""
