"""The relay: one leader seals the stream and brings it to everybody who follows it."""
