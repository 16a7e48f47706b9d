"""From a quote source into the lake: fetch with dlt, check every bar, merge by key."""
