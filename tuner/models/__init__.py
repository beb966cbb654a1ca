"""Networks that outlive their study: kept under a name, begun with, and asked about new data."""
