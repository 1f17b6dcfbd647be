"""Adobe Commerce's REST API: client, mapping and its vocabulary."""
