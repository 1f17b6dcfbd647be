"""What all pages share: access, layout, navigation, error pages, and how values are written."""
