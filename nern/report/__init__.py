"""From metrics files to one long frame, statistics, tables and figures beside the published values."""
