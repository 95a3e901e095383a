"""Real packets between real ports of a whole Kaon; nothing here but `test_repair` knows what an engine is made of."""
