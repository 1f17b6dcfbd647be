"""Amazon's Selling Partner API: client, mapping and its vocabulary."""
