"""Asset checks: what must hold before a figure is served. They count; the figures are made elsewhere."""
